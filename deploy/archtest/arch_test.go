package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// pureStdlib is all that a pure package may take from the standard library.
var pureStdlib = []string{
	"bytes", "cmp", "crypto/sha256", "encoding/binary", "errors", "fmt", "hash", "hash/crc32", "iter", "maps", "math", "math/big",
	"math/bits", "net/mail", "net/netip", "slices", "strconv", "strings", "unicode", "unicode/utf8", "unsafe",
}

// pure lists the packages that do no I/O, read no clock and start no goroutine,
// with what they may import of this module.
var pure = map[string][]string{
	"mscoin-common/money":     {"mscoin-common/errs", "mscoin-common/invariant"},
	"mscoin-common/errs":      {},
	"mscoin-common/invariant": {},
	"mscoin-common/symbol":    {"mscoin-common/errs", "mscoin-common/money"},
	"exchange/matching":       {"exchange/matching/internal/image"},
	"exchange/matching/naive": {"exchange/matching", "exchange/matching/internal/image"},

	"exchange/matching/internal/image": {},

	"exchange/internal/sequencer/snapshot": {},

	"exchange/order":    {"mscoin-common/money", "mscoin-common/symbol", "mscoin-common/errs", "mscoin-common/invariant"},
	"wallet/ledger":     {"mscoin-common/money", "mscoin-common/errs", "mscoin-common/invariant"},
	"wallet/settlement": {"mscoin-common/money", "mscoin-common/errs", "mscoin-common/invariant", "wallet/ledger"},
	"wallet/reconcile":  {"mscoin-common/money", "mscoin-common/errs", "mscoin-common/invariant", "wallet/ledger"},
	"wallet/solvency":   {"mscoin-common/money"},
	"market/depth":      {"mscoin-common/money", "mscoin-common/invariant"},
	"market/ticker":     {"mscoin-common/money", "mscoin-common/invariant"},
	"ucenter/member":    {"mscoin-common/errs"},
}

// services meet over gRPC and Kafka only.
var services = []string{"exchange", "wallet", "market", "ucenter", "gateway"}

// borders says which kinds of package may see a library or the protobuf types;
// the longest matching rule is not needed: every rule applies.
var borders = []struct {
	lib     string   // import path prefix
	allowed []string // path fragments of importing packages, "" matches none
	why     string
}{
	{"gorm.io/", []string{"/internal/store", "mscoin-common/database", "mscoin-common/idgen", "mscoin-common/testkit", "wallet/bench"}, "GORM stops at internal/store"},
	{"github.com/segmentio/kafka-go", []string{"mscoin-common/bus"}, "Kafka stops at mscoin-common/bus"},
	{"github.com/redis/", []string{"/internal/cache", "mscoin-common/lock", "mscoin-common/testkit", "/service", "wallet/bench"}, "Redis stops at internal/cache and mscoin-common/lock"},
	{"github.com/twmb/", []string{"mscoin-common/embedded"}, "the embedded broker stays in one place"},
	{"github.com/alicebob/", []string{"mscoin-common/embedded"}, "the embedded Redis stays in one place"},
	{"mscoin/grpc-common/", []string{"/internal/server", "/internal/consumer", "/internal/client", "/internal/sequencer", "/internal/handler", "/internal/middleware", "/service", "wallet/simulate", "mscoin-common/stream", "deploy/", "grpc-common/", "wallet/bench"}, "protobuf stops at server, consumer and client"},
}

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Module     *struct{ Path string }
}

func load(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Module", "mscoin/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) == 0 {
		t.Fatal("go list found no packages")
	}
	return pkgs
}

func rel(path string) string { return strings.TrimPrefix(path, "mscoin/") }

func top(path string) string {
	first, _, _ := strings.Cut(rel(path), "/")
	return first
}

func TestImports(t *testing.T) {
	pkgs := load(t)
	t.Run("pure packages import only what the table allows", func(t *testing.T) {
		seen := map[string]bool{}
		for _, p := range pkgs {
			allowed, ok := pure[rel(p.ImportPath)]
			if !ok {
				continue
			}
			seen[rel(p.ImportPath)] = true
			for _, imp := range p.Imports {
				if !slices.Contains(pureStdlib, imp) && !slices.Contains(allowed, rel(imp)) {
					t.Errorf("%s is pure and may not import %s", p.ImportPath, imp)
				}
			}
		}
		for name := range pure {
			if !seen[name] {
				t.Errorf("the table names %s, which does not exist", name)
			}
		}
	})
	t.Run("services never import each other", func(t *testing.T) {
		for _, p := range pkgs {
			if !slices.Contains(services, top(p.ImportPath)) {
				continue
			}
			for _, imp := range p.Imports {
				if strings.HasPrefix(imp, "mscoin/") && slices.Contains(services, top(imp)) && top(imp) != top(p.ImportPath) {
					t.Errorf("%s imports %s: services meet over gRPC and Kafka only", p.ImportPath, imp)
				}
			}
		}
	})
	t.Run("common packages never import a service, nobody imports deploy, and only the simulator its handles", func(t *testing.T) {
		for _, p := range pkgs {
			for _, imp := range p.Imports {
				if top(p.ImportPath) == "mscoin-common" && strings.HasPrefix(imp, "mscoin/") && slices.Contains(services, top(imp)) {
					t.Errorf("%s imports the service package %s", p.ImportPath, imp)
				}
				if strings.HasSuffix(imp, "/simulate") && strings.HasPrefix(imp, "mscoin/") && rel(p.ImportPath) != "deploy/simulator" {
					t.Errorf("%s imports %s, which is for the simulator only", p.ImportPath, imp)
				}
				if strings.HasPrefix(imp, "mscoin/deploy/") && top(p.ImportPath) != "deploy" {
					t.Errorf("%s imports %s: nobody imports deploy", p.ImportPath, imp)
				}
			}
		}
	})
	t.Run("libraries stop at their border", func(t *testing.T) {
		for _, p := range pkgs {
			for _, b := range borders {
				inside := slices.ContainsFunc(b.allowed, func(s string) bool { return strings.Contains(p.ImportPath, s) })
				for _, imp := range p.Imports {
					if strings.HasPrefix(imp, b.lib) && !inside {
						t.Errorf("%s imports %s: %s", p.ImportPath, imp, b.why)
					}
				}
			}
		}
	})
}
