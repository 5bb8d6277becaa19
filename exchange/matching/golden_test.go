package matching_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/naive"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected part of testdata/*.txt")

// engines are all implementations: one suite runs against each.
func engines() map[string]func() matching.Engine {
	return map[string]func() matching.Engine{
		"book":  func() matching.Engine { return matching.New() },
		"naive": func() matching.Engine { return naive.New() },
	}
}

// A golden file is a list of scenarios:
//
//	== the rule in words
//	commands, one a line
//	----
//	expected events and book
//
// Commands (a member is a letter, prices in ticks, quantities in lots):
//
//	rules base=1 quote=1 maxprice=1000 maxqty=100 up=0 down=0 fills=1000 open=0
//	buy 1 a 5 @ 100 [gtc|ioc|fok|post] [stp=none|taker|maker|both|dec] [fee=maker/taker] [hold=n]
//	sell 2 b 5 market [quote=n] [hold=n]            (5 may be 0)
//	sell 3 b 5 @ 90 stop-loss=95 | take-profit=110  (or market in place of @ 90)
//	cancel 1 [a]
//	reduce 1 2
//	replace 1 with buy 4 a 5 @ 100 …
//	phase trading|cancel-only|halt
//	continue
//	save          (snapshot, restored into a new book)
type scenario struct {
	name     string
	commands []string
	want     string
}

func readGolden(t *testing.T, path string) []scenario {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	for part := range strings.SplitSeq("\n"+string(text), "\n== ") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, rest, _ := strings.Cut(part, "\n")
		commands, want, _ := strings.Cut(rest+"\n", "----\n")
		s := scenario{name: name, want: strings.TrimSpace(want)}
		for line := range strings.SplitSeq(commands, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				s.commands = append(s.commands, line)
			}
		}
		all = append(all, s)
	}
	return all
}

// usedBuffer is an empty buffer with room, as callers have it: what is left in it
// from before must not show. Without room a Book takes none of its short ways.
func usedBuffer() []matching.Event {
	b := make([]matching.Event, 16)
	for i := range b {
		b[i] = matching.Event{
			Kind: 99, State: 99, Reason: 99, Phase: 99, Side: 99, OrderID: 99, MemberID: 99,
			CumQty: 99, CumQuote: 99, CumFee: 99, LeavesQty: 99, HeldRemaining: 99,
		}
	}
	return b[:0]
}

func TestBook_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		scenarios := readGolden(t, file)
		if *rewrite {
			rewriteGolden(t, file, scenarios)
		}
		for kind, newEngine := range engines() {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				for _, s := range scenarios {
					t.Run(s.name, func(t *testing.T) {
						if got := play(t, newEngine, s.commands); got != s.want && !*rewrite {
							t.Errorf("got:\n%s\nwant:\n%s", got, s.want)
						}
					})
				}
			})
		}
	}
}

func rewriteGolden(t *testing.T, file string, scenarios []scenario) {
	t.Helper()
	var out strings.Builder
	for _, s := range scenarios {
		got := play(t, engines()["naive"], s.commands)
		fmt.Fprintf(&out, "== %s\n%s\n----\n%s\n\n", s.name, strings.Join(s.commands, "\n"), got)
	}
	if err := os.WriteFile(file, []byte(strings.TrimSpace(out.String())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// play runs the commands on a new book and tells what happened.
func play(t *testing.T, newEngine func() matching.Engine, commands []string) string {
	t.Helper()
	e := newEngine()
	var out strings.Builder
	for _, line := range commands {
		if line == "save" {
			fresh := newEngine()
			if err := fresh.Restore(e.Snapshot(nil)); err != nil {
				t.Fatal(err)
			}
			if fresh.StateHash() != e.StateHash() {
				t.Fatal("state hash differs after Restore")
			}
			e = fresh
			continue
		}
		c, err := parseCommand(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events := e.Apply(c, usedBuffer())
		for i := range events {
			out.WriteString(eventText(events, i) + "\n")
		}
	}
	for _, side := range []matching.Side{matching.Sell, matching.Buy} {
		var levels []string
		e.Depth(side, func(price, qty int64) bool {
			levels = append(levels, fmt.Sprintf("%d x %d", qty, price))
			return true
		})
		if len(levels) > 0 {
			fmt.Fprintf(&out, "book %s: %s\n", sideName(side), strings.Join(levels, ", "))
		}
	}
	fmt.Fprintf(&out, "open %d, last %d\n", e.Open(), e.LastPrice())
	return strings.TrimSpace(out.String())
}

func sideName(s matching.Side) string {
	if s == matching.Buy {
		return "buy"
	}
	return "sell"
}

func member(id uint64) string {
	if id == 0 {
		return "-"
	}
	return string(rune('a' + id - 1))
}

func eventText(events []matching.Event, at int) string {
	e := &events[at]
	reason := ""
	if e.Reason != matching.ReasonNone {
		reason = " " + e.Reason.String()
	}
	switch e.Kind {
	case matching.EventTrade:
		return tradeText(events[at:])
	case matching.EventOrder:
		return fmt.Sprintf("%s %d of %s %s: traded %d for %d fee %d, leaves %d, held %d%s", sideName(e.Side), e.OrderID,
			member(e.MemberID), e.State, e.CumQty, e.CumQuote, e.CumFee, e.LeavesQty, e.HeldRemaining, reason)
	case matching.EventReject:
		if e.State == matching.StateRejected {
			return fmt.Sprintf("%d of %s REJECTED%s", e.OrderID, member(e.MemberID), reason)
		}
		return fmt.Sprintf("refused, order %d%s", e.OrderID, reason)
	case matching.EventRules:
		return "rules"
	case matching.EventPhase:
		return fmt.Sprintf("phase %d", e.Phase)
	case matching.EventContinue:
		return fmt.Sprintf("to be continued with %d of %s", e.OrderID, member(e.MemberID))
	}
	return fmt.Sprintf("%+v", *e)
}

// tradeText tells of a trade; who is who is in the events that follow it.
func tradeText(events []matching.Event) string {
	t, maker := events[0].Trade(), &events[1]
	owner := "nobody"
	for i := range events {
		if e := &events[i]; e.Kind == matching.EventOrder && e.OrderID == t.TakerID {
			owner = member(e.MemberID)
			break
		}
	}
	return fmt.Sprintf("trade %d: %d x %d = %d, maker %s %d of %s fee %d, taker %d of %s fee %d", t.ID, t.Qty, t.Price,
		t.Quote, sideName(maker.Side), maker.OrderID, member(maker.MemberID), t.MakerFee, t.TakerID, owner, t.TakerFee)
}

// parser reads the words of a command line.
type parser struct {
	words []string
	err   error
}

func (p *parser) next() string {
	if len(p.words) == 0 {
		p.err = fmt.Errorf("too short")
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *parser) num(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && p.err == nil {
		p.err = err
	}
	return n
}

func (p *parser) who() uint64 {
	w := p.next()
	if len(w) != 1 || w[0] < 'a' || w[0] > 'z' {
		p.err = fmt.Errorf("member %q", w)
		return 0
	}
	return uint64(w[0]-'a') + 1
}

func parseCommand(line string) (*matching.Command, error) {
	p := &parser{words: strings.Fields(line)}
	c := &matching.Command{}
	switch word := p.next(); word {
	case "rules":
		c.Op, c.Rules = matching.OpSetRules, p.rules()
	case "buy", "sell":
		c.Op = matching.OpPlace
		p.order(c, word)
	case "replace":
		c.Op, c.TargetID = matching.OpReplace, uint64(p.num(p.next()))
		p.next()
		p.order(c, p.next())
	case "cancel":
		c.Op, c.OrderID = matching.OpCancel, uint64(p.num(p.next()))
		if len(p.words) > 0 {
			c.MemberID = p.who()
		}
	case "reduce":
		c.Op, c.OrderID = matching.OpReduce, uint64(p.num(p.next()))
		c.Qty = p.num(p.next())
	case "phase":
		c.Op = matching.OpSetPhase
		c.Phase = map[string]matching.Phase{
			"trading": matching.PhaseTrading, "cancel-only": matching.PhaseCancelOnly, "halt": matching.PhaseHalt,
		}[p.next()]
	case "continue":
		c.Op = matching.OpContinue
	default:
		return nil, fmt.Errorf("command %q", word)
	}
	if p.err == nil && len(p.words) > 0 {
		p.err = fmt.Errorf("left over: %q", p.words)
	}
	return c, p.err
}

func (p *parser) rules() *matching.Rules {
	r := &matching.Rules{
		BaseUnitsPerLot: 1, QuoteUnitsPerTickLot: 1, MaxPrice: 1_000_000, MaxQty: 1_000_000,
		MaxFillsPerCommand: 1000, // more than any scenario needs: a faulty book that goes round and round fails it
	}
	for len(p.words) > 0 {
		key, text, _ := strings.Cut(p.next(), "=")
		n := p.num(text)
		switch key {
		case "base":
			r.BaseUnitsPerLot = n
		case "quote":
			r.QuoteUnitsPerTickLot = n
		case "maxprice":
			r.MaxPrice = n
		case "maxqty":
			r.MaxQty = n
		case "up":
			r.BandUpPpm = n
		case "down":
			r.BandDownPpm = n
		case "fills":
			r.MaxFillsPerCommand = int32(n)
		case "open":
			r.MaxOpenOrders = int32(n)
		default:
			p.err = fmt.Errorf("rule %q", key)
		}
	}
	return r
}

func (p *parser) order(c *matching.Command, side string) {
	c.Side = map[string]matching.Side{"buy": matching.Buy, "sell": matching.Sell}[side]
	c.OrderID, c.MemberID, c.Qty = uint64(p.num(p.next())), p.who(), p.num(p.next())
	c.Type, c.TIF, c.STP, c.Hold = matching.Limit, matching.GTC, matching.STPNone, math.MaxInt64
	if p.next() == "@" {
		c.Price = p.num(p.next())
	} else {
		c.Type = matching.Market
	}
	for len(p.words) > 0 {
		p.option(c)
	}
}

func (p *parser) option(c *matching.Command) {
	word := p.next()
	tifs := map[string]matching.TimeInForce{
		"gtc": matching.GTC, "ioc": matching.IOC, "fok": matching.FOK, "post": matching.PostOnly,
	}
	if tif, ok := tifs[word]; ok {
		c.TIF = tif
		return
	}
	key, text, _ := strings.Cut(word, "=")
	switch key {
	case "stp":
		c.STP = map[string]matching.STPMode{
			"none": matching.STPNone, "taker": matching.STPExpireTaker, "maker": matching.STPExpireMaker,
			"both": matching.STPExpireBoth, "dec": matching.STPDecrement,
		}[text]
	case "fee":
		maker, taker, _ := strings.Cut(text, "/")
		c.MakerFeePpm, c.TakerFeePpm = int32(p.num(maker)), int32(p.num(taker))
	case "hold":
		c.Hold = p.num(text)
	case "quote":
		c.QuoteQty = p.num(text)
	case "stop-loss", "take-profit":
		types := map[string][2]matching.OrderType{
			"stop-loss":   {matching.StopLoss, matching.StopLossLimit},
			"take-profit": {matching.TakeProfit, matching.TakeProfitLimit},
		}[key]
		c.StopPrice = p.num(text)
		if c.Type == matching.Limit {
			c.Type = types[1]
		} else {
			c.Type = types[0]
		}
	default:
		p.err = fmt.Errorf("option %q", word)
	}
}
