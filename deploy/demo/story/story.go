// Package story trades with two accounts over the public REST API, through an
// unmodified third-party client, and checks every balance to the last unit
// after each step. `make demo` shows it to people; the end-to-end test runs the
// same steps.
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/adshao/go-binance/v2"
	"github.com/shopspring/decimal"
)

// Symbol is where the story plays.
const Symbol = "BTCUSDT"

// ErrBookBusy means that somebody else's orders stand in the book, so the
// story's exact amounts could not be promised.
var ErrBookBusy = errors.New("the order book is not empty: the demo needs it for itself")

// Account is one trader's way in.
type Account struct {
	Email     string `json:"email"`
	Password  string `json:"password"`
	APIKey    string `json:"apiKey"`
	APISecret string `json:"apiSecret"`
}

// Access is the content of demo.json.
type Access struct {
	BaseURL  string    `json:"baseUrl"`
	WsURL    string    `json:"wsUrl"`
	Accounts []Account `json:"accounts"`
}

// trader is one side of the story.
type trader struct {
	name   string
	client *binance.Client
}

// Balance is what an account has of one coin.
type Balance struct{ Free, Locked decimal.Decimal }

type balances map[string]Balance

// teller carries the story and the first error that ends it.
type teller struct {
	out          io.Writer
	maker, taker trader
	expect       map[string]balances // by trader name
}

// Tell runs the whole story. It returns an error when any answer or balance is
// not exactly what the rules of the exchange say.
func Tell(ctx context.Context, access Access, out io.Writer) error {
	if len(access.Accounts) < 2 {
		return fmt.Errorf("two accounts are needed, %d given", len(access.Accounts))
	}
	t := &teller{out: out, maker: newTrader("maker", access, 0), taker: newTrader("taker", access, 1), expect: map[string]balances{}}
	if err := t.begin(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		title string
		run   func(context.Context) (string, error)
		moves []move
	}{
		{"maker sells 0.5 BTC at 60,000.00", t.makerRests, []move{{"maker", "BTC", "-0.5", "0.5"}}},
		{"taker buys 0.2 BTC, limit 60,100.00", t.takerCrosses, []move{
			{"maker", "BTC", "0", "-0.2"}, {"maker", "USDT", "11988", "0"}, // 12,000 less 0.1 %
			{"taker", "BTC", "0.1998", "0"}, {"taker", "USDT", "-12000", "0"}, // 0.2 less 0.1 %
		}},
		{"maker cancels the rest", t.makerCancels, []move{{"maker", "BTC", "0.3", "-0.3"}}},
		{"maker sells 1 BTC at 60,500.00", t.makerRestsAgain, []move{{"maker", "BTC", "-1", "1"}}},
		{"taker buys for 1,000 USDT at market", t.takerSpends, []move{
			{"maker", "BTC", "0", "-0.01652"}, {"maker", "USDT", "998.46054", "0"}, // 999.46 less 0.99946
			{"taker", "BTC", "0.01650348", "0"}, {"taker", "USDT", "-999.46", "0"},
		}},
		{"maker cancels everything", t.makerCancelsAll, []move{{"maker", "BTC", "0.98348", "-0.98348"}}},
		{"taker sells 0.1 BTC at market, nobody buys", t.marketFindsNobody, nil},
	} {
		result, err := step.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
		t.apply(step.moves)
		if err := t.compare(ctx); err != nil {
			return fmt.Errorf("after %q: %w", step.title, err)
		}
		t.line(step.title, result)
	}
	t.end()
	return nil
}

func newTrader(name string, access Access, i int) trader {
	c := binance.NewClient(access.Accounts[i].APIKey, access.Accounts[i].APISecret)
	c.BaseURL = access.BaseURL
	return trader{name: name, client: c}
}

// move is an exact change of a balance.
type move struct{ who, coin, free, locked string }

func (t *teller) apply(moves []move) {
	for _, m := range moves {
		b := t.expect[m.who][m.coin]
		b.Free = b.Free.Add(decimal.RequireFromString(m.free))
		b.Locked = b.Locked.Add(decimal.RequireFromString(m.locked))
		t.expect[m.who][m.coin] = b
	}
}

func (t *teller) begin(ctx context.Context) error {
	for _, who := range []trader{t.maker, t.taker} {
		if err := who.cancelAll(ctx); err != nil {
			return fmt.Errorf("%s: clear open orders: %w", who.name, err)
		}
	}
	book, err := t.maker.client.NewDepthService().Symbol(Symbol).Limit(5).Do(ctx)
	if err != nil {
		return fmt.Errorf("read the book: %w", err)
	}
	if len(book.Asks)+len(book.Bids) > 0 {
		return ErrBookBusy
	}
	for _, who := range []trader{t.maker, t.taker} {
		if t.expect[who.name], err = who.balances(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.out, "%-44s %-34s %28s %28s\n%s\n", Symbol+": what happens", "the exchange answers", "maker BTC / USDT", "taker BTC / USDT", strings.Repeat("─", 137))
	t.line("at the start", "")
	return nil
}

func (t *teller) line(title, result string) {
	sum := func(who string) string {
		b := t.expect[who]
		return fmt.Sprintf("%s / %s", b["BTC"].Free.Add(b["BTC"].Locked), b["USDT"].Free.Add(b["USDT"].Locked))
	}
	fmt.Fprintf(t.out, "%-44s %-34s %28s %28s\n", title, result, sum("maker"), sum("taker"))
}

func (t *teller) end() {
	fmt.Fprintln(t.out, strings.Repeat("─", 137))
	fmt.Fprintln(t.out, "Every balance above was read back from the exchange and was exact to the last unit, fees (0.1 % of what is received) included.")
}

// compare reads both accounts and holds them against what must be there.
func (t *teller) compare(ctx context.Context) error {
	for _, who := range []trader{t.maker, t.taker} {
		got, err := who.balances(ctx)
		if err != nil {
			return err
		}
		for coin, want := range t.expect[who.name] {
			if g := got[coin]; !g.Free.Equal(want.Free) || !g.Locked.Equal(want.Locked) {
				return fmt.Errorf("%s has %s free and %s locked of %s, must have %s and %s", who.name, g.Free, g.Locked, coin, want.Free, want.Locked)
			}
		}
	}
	return nil
}

func (w trader) balances(ctx context.Context) (balances, error) {
	account, err := w.client.NewGetAccountService().Do(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: read account: %w", w.name, err)
	}
	b := balances{}
	for _, a := range account.Balances {
		free, err1 := decimal.NewFromString(a.Free)
		locked, err2 := decimal.NewFromString(a.Locked)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: balance of %s: %w", w.name, a.Asset, err)
		}
		b[a.Asset] = Balance{Free: free, Locked: locked}
	}
	return b, nil
}

func (w trader) cancelAll(ctx context.Context) error {
	open, err := w.client.NewListOpenOrdersService().Symbol(Symbol).Do(ctx)
	if err != nil || len(open) == 0 {
		return err
	}
	_, err = w.client.NewCancelOpenOrdersService().Symbol(Symbol).Do(ctx)
	return err
}
