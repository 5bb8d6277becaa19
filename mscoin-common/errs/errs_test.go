package errs_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mscoin/mscoin-common/errs"
)

var errNoFunds = errs.New(errs.KindFailedPrecondition, errs.CodeInsufficientBalance, "account has insufficient balance")

func TestError_Is(t *testing.T) {
	cause := errors.New("row 7")
	err := fmt.Errorf("place hold: %w", errNoFunds.With("coin USDT").Wrap(cause))

	if !errors.Is(err, errNoFunds) {
		t.Error("a copy with detail and cause must match the variable it came from")
	}
	if !errors.Is(err, cause) {
		t.Error("the cause must be found in the chain")
	}
	if errors.Is(err, errs.New(errs.KindInternal, errs.CodeInsufficientBalance, "")) {
		t.Error("another kind must not match")
	}
	if errors.Is(err, errs.New(errs.KindFailedPrecondition, errs.CodeBadLot, "")) {
		t.Error("another code must not match")
	}
	if errNoFunds.Detail != "" || errNoFunds.Unwrap() != nil {
		t.Error("With and Wrap must leave the variable alone")
	}
}

func TestError_PublicMessage(t *testing.T) {
	err := errNoFunds.With("coin USDT").Wrap(errors.New("secret row"))
	if got, want := err.PublicMessage(), "account has insufficient balance (coin USDT)"; got != want {
		t.Errorf("public message: got %q, want %q", got, want)
	}
	if !strings.Contains(err.Error(), "secret row") {
		t.Errorf("the log must show the cause, got %q", err.Error())
	}
}

func TestKindOf(t *testing.T) {
	unknown := errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "outcome unknown")
	cases := map[string]struct {
		err  error
		kind errs.Kind
		code errs.Code
	}{
		"nil is no error":                    {nil, errs.KindNone, ""},
		"a foreign error is internal":        {errors.New("boom"), errs.KindInternal, errs.CodeInternal},
		"a wrapped error keeps its kind":     {fmt.Errorf("op: %w", errNoFunds), errs.KindFailedPrecondition, errs.CodeInsufficientBalance},
		"the outermost error decides":        {unknown.Wrap(errNoFunds), errs.KindUnknownOutcome, errs.CodeUnknownOutcome},
		"a joined error is found inside too": {errors.Join(errors.New("x"), unknown), errs.KindUnknownOutcome, errs.CodeUnknownOutcome},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := errs.KindOf(c.err); got != c.kind {
				t.Errorf("kind %v, want %v", got, c.kind)
			}
			if got := errs.CodeOf(c.err); got != c.code {
				t.Errorf("code %q, want %q", got, c.code)
			}
		})
	}
	if errs.From(nil) != nil {
		t.Error("From(nil) must be nil")
	}
}

// allKinds lists every kind but KindNone, found by its name.
func allKinds(t *testing.T) []errs.Kind {
	t.Helper()
	var all []errs.Kind
	for k := errs.KindInvalidArgument; ; k++ {
		all = append(all, k)
		if k == errs.KindInternal {
			return all
		}
	}
}

func TestKind_Table(t *testing.T) {
	breakerCounts := map[uint32]bool{4: true, 8: true, 12: true, 13: true, 14: true, 15: true}
	names := map[string]bool{}
	for _, k := range allKinds(t) {
		if k.String() == "" || names[k.String()] {
			t.Errorf("kind %d has no name of its own: %q", k, k)
		}
		names[k.String()] = true
		if got, ok := errs.ParseKind(k.String()); !ok || got != k {
			t.Errorf("%v does not parse back: %v, %v", k, got, ok)
		}
		if k.HTTPStatus() < 400 || k.HTTPStatus() > 599 {
			t.Errorf("%v has HTTP status %d", k, k.HTTPStatus())
		}
		ours := k == errs.KindInternal || k == errs.KindUnavailable
		if breakerCounts[k.GRPCCode()] != ours {
			t.Errorf("%v travels as gRPC code %d: only our own failures may trip a breaker", k, k.GRPCCode())
		}
		isServerError := k.HTTPStatus() >= 500
		mayHaveFailed := k == errs.KindInternal || k == errs.KindOverloaded || k == errs.KindUnavailable || k == errs.KindUnknownOutcome
		if isServerError != mayHaveFailed {
			t.Errorf("%v answers %d: a refusal of the request itself is never 5xx, which clients read as \"not the request's fault\"", k, k.HTTPStatus())
		}
	}
	if _, ok := errs.ParseKind("NO_SUCH"); ok {
		t.Error("an unknown name must not parse")
	}
	if errs.Kind(200).String() != "INTERNAL" || errs.Kind(200).HTTPStatus() != 500 {
		t.Error("a kind out of range counts as internal")
	}
}

func TestKindFromGRPC(t *testing.T) {
	for _, code := range []uint32{1, 2, 4, 10, 13, 14, 15, 17, 99} {
		if got := errs.KindFromGRPC(code); got != errs.KindUnknownOutcome {
			t.Errorf("a bare gRPC code %d can come after the request was sent; got %v", code, got)
		}
	}
	for _, k := range []errs.Kind{
		errs.KindInvalidArgument, errs.KindFailedPrecondition, errs.KindNotFound,
		errs.KindAlreadyExists, errs.KindUnauthenticated, errs.KindPermissionDenied,
	} {
		if got := errs.KindFromGRPC(k.GRPCCode()); got != k {
			t.Errorf("%v came back as %v", k, got)
		}
	}
	if errs.KindFromGRPC(0) != errs.KindNone {
		t.Error("OK is no error")
	}
}

// TestCodes/every code is unique and documented reads the source, so that a code
// added in a hurry is caught.
func TestCodes(t *testing.T) {
	t.Run("every code is unique and documented", func(t *testing.T) {
		file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		shape := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)
		doc := regexp.MustCompile(`^(Code\w+) \((\w+)\): \S`)
		kindNames := map[string]bool{}
		for _, k := range allKinds(t) {
			kindNames[strings.ReplaceAll(k.String(), "_", "")] = true
		}
		seen := map[string]string{}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				v := spec.(*ast.ValueSpec)
				name := v.Names[0].Name
				value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil || !shape.MatchString(value) {
					t.Errorf("%s = %q is not in UPPER_SNAKE_CASE", name, value)
				}
				if other, dup := seen[value]; dup {
					t.Errorf("%s and %s have the same value %q", name, other, value)
				}
				seen[value] = name
				m := doc.FindStringSubmatch(v.Doc.Text())
				if m == nil || m[1] != name || !kindNames[strings.ToUpper(m[2])] {
					t.Errorf("%s needs a comment `// %s (<Kind>): <meaning>`, has %q", name, name, v.Doc.Text())
				}
			}
		}
		if len(seen) < 40 {
			t.Errorf("found only %d codes: codes are never removed", len(seen))
		}
	})
}

func Example() {
	noFunds := errs.New(errs.KindFailedPrecondition, errs.CodeInsufficientBalance, "account has insufficient balance")
	err := fmt.Errorf("place hold: %w", noFunds.With("coin USDT").Wrap(errors.New("available 3, asked 5")))

	fmt.Println(errs.CodeOf(err), errs.KindOf(err), errs.KindOf(err).HTTPStatus())
	fmt.Println("client:", errs.From(err).PublicMessage())
	fmt.Println("log:   ", err)
	// Output:
	// INSUFFICIENT_BALANCE FAILED_PRECONDITION 400
	// client: account has insufficient balance (coin USDT)
	// log:    place hold: INSUFFICIENT_BALANCE: account has insufficient balance (coin USDT): available 3, asked 5
}
