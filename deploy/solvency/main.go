// Command solvency proves what an exchange owes, and verifies such a proof.
//
//	go run ./deploy/solvency publish -wallet sqlite:data/wallet.db -assets assets.txt -out proof
//	go run ./deploy/solvency verify -roots proof/roots.txt < my-proof.txt
//
// publish reads one snapshot of the wallet's database and writes two files: roots.txt, one
// line for each coin, to publish, and proofs.txt, a line for each member and coin, of
// which each member is given its own and nobody else's. It prints what is owed beside
// what is owned; -assets names a file with lines "COIN AMOUNT" that the custody vouches
// for. Exit status: 0 solvent, 1 something is owed that is not owned, 2 it could not be
// found out.
//
// verify needs the published roots and a member's own lines, and neither a network nor a
// database. Exit status: 0 every line is proved, 1 one is not. See wallet/solvency for
// what that means and what it does not.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"mscoin/mscoin-common/money"
	walletsvc "mscoin/wallet/service"
	"mscoin/wallet/solvency"
)

const (
	exitYes     = 0
	exitNo      = 1
	exitUnknown = 2
)

// maxLine bounds a line that is read: a proof is some 5 kB.
const maxLine = 1 << 16

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] != "publish" && args[0] != "verify" {
		_, _ = fmt.Fprintln(stderr, "usage: solvency publish | verify; see -help of each")
		return exitUnknown
	}
	flags := flag.NewFlagSet("solvency "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	wallet := flags.String("wallet", "", "publish: the wallet's database, dialect:dsn (default MSCOIN_WALLET_DSN or sqlite:data/wallet.db)")
	assets := flags.String("assets", "", "publish: file of what is owned, lines COIN AMOUNT")
	out := flags.String("out", "solvency", "publish: folder for roots.txt and proofs.txt")
	roots := flags.String("roots", "roots.txt", "verify: file of the published roots")
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() > 0 {
		return exitUnknown
	}
	var ok bool
	var err error
	if args[0] == "verify" {
		ok, err = verify(*roots, stdin, stdout)
	} else {
		ok, err = publish(ctx, sourceOf(*wallet), *assets, *out, stdout)
	}
	switch {
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "solvency:", err)
		return exitUnknown
	case !ok:
		return exitNo
	}
	return exitYes
}

func sourceOf(given string) string {
	for _, source := range [...]string{given, os.Getenv("MSCOIN_WALLET_DSN")} {
		if source != "" {
			return source
		}
	}
	return "sqlite:" + filepath.Join("data", "wallet.db")
}

// publish writes the files and reports whether everything owed is owned; without a file
// of assets it reports true.
func publish(ctx context.Context, source, assetsFile, out string, stdout io.Writer) (bool, error) {
	owed, atMs, err := walletsvc.OwedNow(ctx, source)
	if err != nil {
		return false, err
	}
	owned, err := readAssets(assetsFile, owed)
	if err != nil {
		return false, err
	}
	var roots, proofs strings.Builder
	solvent := true
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "COIN\tMEMBERS\tOWED TO MEMBERS\tFEES\tSUSPENSE\tMUST BE IN CUSTODY\tOWNED\tMISSING")
	for i := range owed {
		o := &owed[i]
		tree, err := solvency.Build(o.Coin, atMs, o.Members, nonce)
		if err != nil {
			return false, err
		}
		_, _ = fmt.Fprintln(&roots, tree.Root())
		for _, b := range o.Members {
			proof, _ := tree.Proof(b.MemberID)
			_, _ = fmt.Fprintln(&proofs, proof)
		}
		amount := func(units int64) string { return money.Format(units, o.Scale) }
		t := &o.Totals
		have, missing := "not given", "unknown"
		if assetsFile != "" {
			have, missing = amount(owned[o.Coin]), amount(max(0, -t.World-owned[o.Coin]))
			solvent = solvent && owned[o.Coin] >= -t.World
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", o.Coin, len(o.Members), amount(t.Available+t.Held), amount(t.Fee),
			amount(t.Suspense), amount(-t.World), have, missing)
	}
	if err := os.MkdirAll(out, 0o700); err != nil { //nolint:gosec // named by whoever runs this
		return false, err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(out, "roots.txt"), []byte(roots.String()), 0o600),   //nolint:gosec // as above
		os.WriteFile(filepath.Join(out, "proofs.txt"), []byte(proofs.String()), 0o600), //nolint:gosec // as above; of each member alone
		w.Flush(),
	)
	return solvent, err
}

// nonce is a new secret for each leaf; the member is told with its proof.
func nonce(int64) (n [solvency.Size]byte) {
	_, _ = rand.Read(n[:]) // never fails
	return n
}

// readAssets reads lines COIN AMOUNT; a coin that is not named is not owned.
func readAssets(file string, owed []walletsvc.Owed) (map[string]int64, error) {
	owned := map[string]int64{}
	if file == "" {
		return owned, nil
	}
	scales := map[string]int{}
	for i := range owed {
		scales[owed[i].Coin] = owed[i].Scale
	}
	return owned, eachLine(file, func(line string) error {
		words := strings.Fields(line)
		if len(words) != 2 {
			return fmt.Errorf("%q is not COIN AMOUNT", line)
		}
		scale, listed := scales[words[0]]
		if _, twice := owned[words[0]]; twice || !listed {
			return fmt.Errorf("coin %s is not listed, or named twice", words[0])
		}
		units, err := money.Parse(words[1], scale)
		if err != nil {
			return fmt.Errorf("%s: %w", words[0], err)
		}
		owned[words[0]] = units
		return nil
	})
}

// verify reads proofs and reports whether each leads to a published root, and there is one.
func verify(rootsFile string, stdin io.Reader, stdout io.Writer) (bool, error) {
	roots := map[string]solvency.Root{}
	err := eachLine(rootsFile, func(line string) error {
		root, err := solvency.ParseRoot(line)
		roots[root.Coin] = root
		return err
	})
	if err != nil {
		return false, err
	}
	proved, all := 0, true
	err = scanLines(stdin, func(line string) error {
		proof, err := solvency.ParseProof(line)
		if err != nil {
			return err
		}
		root := roots[proof.Coin]
		if err := solvency.Verify(root, proof); err != nil {
			all = false
			_, err = fmt.Fprintf(stdout, "NOT PROVED: %d units of %s of member %d: %v\n", proof.Amount, proof.Coin, proof.MemberID, err)
			return err
		}
		proved++
		_, err = fmt.Fprintf(stdout, "proved: the %d units of %s of member %d are among the %d that are owed to %d members\n",
			proof.Amount, proof.Coin, proof.MemberID, root.Total, root.Members)
		return err
	})
	return all && proved > 0, err
}

func eachLine(file string, do func(line string) error) error {
	f, err := os.Open(file) //nolint:gosec // named by whoever runs this
	if err != nil {
		return err
	}
	return errors.Join(scanLines(f, do), f.Close())
}

// scanLines calls do for every line that is not empty.
func scanLines(in io.Reader, do func(line string) error) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			if err := do(line); err != nil {
				return err
			}
		}
	}
	return scanner.Err()
}
