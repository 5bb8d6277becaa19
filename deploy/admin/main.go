// Command mscoin-admin shows operators how the matchers and the consumers of their records
// are, verifies and truncates logs, moves symbols, and carries out what they decide about
// halted symbols. It talks to the running
// services over their internal gRPC; every decision is recorded by them, with who and why.
//
//	mscoin-admin snapshots
//	mscoin-admin verify [-partition N | -symbol BTC/USDT] [-from verified|beginning|OFFSET]
//	mscoin-admin truncate -partition N [-records] [-dry-run] -by NAME -reason TEXT
//	mscoin-admin move -symbol BTC/USDT -to N -by NAME -reason TEXT
//	mscoin-admin flag -symbol BTC/USDT -set FLAG,FLAG -by NAME -reason TEXT
//	mscoin-admin skip-command -partition N -offset N -fingerprint HEX -by NAME -reason TEXT
//	mscoin-admin stops | corrections [-pending]
//	mscoin-admin lift-stop -scope MEMBER -name 7 -by NAME -reason TEXT
//	mscoin-admin correct -payer SUSPENSE -payee AVAILABLE/7 -coin BTC -amount 0.5 -by NAME -reason TEXT
//	mscoin-admin approve | reject -request ID -by NAME
//	mscoin-admin fee-income -first 2026-11-01 -last 2026-11-30 [-coin BTC]
//	mscoin-admin positions | lag | halted | suspense | decisions
//	mscoin-admin parked -service wallet -symbol BTC/USDT [-n 20] [-values]
//	mscoin-admin retry  -service wallet -symbol BTC/USDT -by NAME -reason TEXT
//	mscoin-admin skip   -service wallet -symbol BTC/USDT -by NAME -reason TEXT -fingerprint HEX
//	mscoin-admin resync -service wallet -symbol BTC/USDT -by NAME -reason TEXT -fingerprint HEX -from TOPIC
//
// Where the services are: flags -exchange, -wallet, -market, else the variables
// MSCOIN_EXCHANGE_ADDR, MSCOIN_WALLET_ADDR, MSCOIN_MARKET_ADDR, else services.json in
// the folder MSCOIN_DATA (default ./data), which `make run` writes. The token is
// MSCOIN_INTERNAL_TOKEN, else the one in secrets.json there.
//
// Exit status: 0 done and nothing is wrong, 1 something is (a halted symbol, an order in
// suspense, a log that differs), 2 it could not be done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

const (
	exitFine    = 0
	exitWrong   = 1
	exitUnknown = 2
)

func main() {
	logx.SetWriter(logx.NewWriter(os.Stderr)) // the answer is all that goes to the other one
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags of all commands.
type options struct {
	addresses map[string]*string
	timeout   time.Duration
	asJSON    bool

	booksOptions

	service, symbol string
	limit           int
	values          bool
	by, reason      string
	fingerprint     string
	from, requestID string

	partition, to   int
	offset          int64
	set             string
	dryRun, records bool
	withoutMarket   bool
	progress        io.Writer
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		_, _ = fmt.Fprintln(stderr, "mscoin-admin:", err)
		return exitUnknown
	}
	if len(args) == 0 || commands[args[0]].do == nil {
		return fail(usage(args))
	}
	o := options{addresses: map[string]*string{}, progress: stderr}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	o.register(flags)
	if err := flags.Parse(args[1:]); err != nil {
		return exitUnknown
	}
	if flags.NArg() > 0 {
		return fail(fmt.Errorf("%q is one word too many", flags.Arg(0)))
	}
	if o.timeout <= 0 {
		o.timeout = commands[args[0]].time
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	services, err := connect(&o, getenv)
	if err != nil {
		return fail(err)
	}
	defer services.close()
	answer, err := commands[args[0]].do(ctx, services, &o)
	if err != nil {
		return fail(err)
	}
	if err := answer.print(stdout, o.asJSON); err != nil {
		return fail(err)
	}
	if answer.wrong {
		return exitWrong
	}
	return exitFine
}

func (o *options) register(flags *flag.FlagSet) {
	for _, name := range serviceNames {
		o.addresses[name] = flags.String(name, "", "host:port of the "+name+" service")
	}
	flags.DurationVar(&o.timeout, "timeout", 0, "give up after (default 30s, more for verify, truncate and move)")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	flags.StringVar(&o.service, "service", "", "whose consumer: exchange, wallet or market")
	flags.StringVar(&o.symbol, "symbol", "", "symbol, like BTC/USDT")
	flags.IntVar(&o.limit, "n", 100, "how many at most")
	flags.BoolVar(&o.values, "values", false, "with the records themselves")
	flags.StringVar(&o.payer, "payer", "", "account that a correction takes from: FEE, SUSPENSE, WORLD or AVAILABLE/MEMBER")
	flags.StringVar(&o.payee, "payee", "", "account that a correction gives to")
	flags.StringVar(&o.coin, "coin", "", "coin")
	flags.StringVar(&o.amount, "amount", "", "amount of a correction")
	flags.StringVar(&o.scope, "scope", "", "whose withdrawals: MEMBER, COIN, CHAIN or ALL")
	flags.StringVar(&o.name, "name", "", "the member's id or the coin")
	flags.StringVar(&o.first, "first", "", "first day, like 2026-11-25")
	flags.StringVar(&o.last, "last", "", "last day")
	flags.BoolVar(&o.pending, "pending", false, "only what can still be approved")
	flags.StringVar(&o.by, "by", "", "who decides")
	flags.StringVar(&o.reason, "reason", "", "why")
	flags.StringVar(&o.fingerprint, "fingerprint", "", "fingerprint of the first parked record, as parked shows it, or of the command, as the matcher's error names it")
	flags.StringVar(&o.from, "from", "", "resync: topic with the missing record; verify: verified, beginning or a snapshot's offset")
	flags.IntVar(&o.partition, "partition", -1, "partition of the command log")
	flags.IntVar(&o.to, "to", -1, "partition that a symbol moves to")
	flags.Int64Var(&o.offset, "offset", -1, "offset of the command")
	flags.StringVar(&o.set, "set", "", "all behaviour flags that are on afterwards, with commas; empty is none")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only tell what would be deleted")
	flags.BoolVar(&o.records, "records", false, "delete the records of those commands as well")
	flags.BoolVar(&o.withoutMarket, "without-market", false, "there is no market that must have passed")
	flags.StringVar(&o.requestID, "request", "", "repeat this request id after an unknown outcome")
}

func usage(args []string) error {
	var text strings.Builder
	text.WriteString("commands:")
	for _, name := range commandNames() {
		text.WriteString("\n  " + name + "\t" + commands[name].what)
	}
	if len(args) > 0 {
		return fmt.Errorf("there is no command %q; %s", args[0], text.String())
	}
	return errors.New(text.String())
}
