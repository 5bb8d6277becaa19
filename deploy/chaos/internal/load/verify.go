package load

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/shopspring/decimal"
)

// pageSize is how many orders one request lists, idSpread how far numbers may lie apart.
const (
	pageSize = 1000
	idSpread = 20_000
)

// Verify compares every order, deposit and key with what was told. Those that ended and
// were found are not looked at again unless all is set.
func (l *Load) Verify(ctx context.Context, all bool) error {
	l.mu.Lock()
	due := map[*member]map[string][]*Order{}
	for _, o := range l.orders {
		if o.found && !all {
			continue
		}
		if due[o.member] == nil {
			due[o.member] = map[string][]*Order{}
		}
		due[o.member][o.symbol] = append(due[o.member][o.symbol], o)
	}
	l.mu.Unlock()
	for _, m := range l.members {
		for _, mk := range markets {
			if orders := due[m][mk.public]; len(orders) > 0 {
				if err := l.verifyOrders(ctx, m, mk.public, orders, all); err != nil {
					return err
				}
			}
		}
	}
	if err := l.verifyDeposits(ctx); err != nil {
		return err
	}
	return l.verifyKeys(ctx)
}

// verifyOrders lists a member's orders on a symbol from the first one that is due.
func (l *Load) verifyOrders(ctx context.Context, m *member, symbol string, orders []*Order, all bool) error {
	from := int64(1)
	for _, o := range orders {
		if id := o.seen.OrderID; id != 0 && !all && (from == 1 || id < from) {
			from = id
		}
	}
	// An order without a known number may be older than those with one.
	for _, o := range orders {
		if o.seen.OrderID == 0 {
			from = min(from, l.before(m, symbol))
		}
	}
	listed := map[string]state{}
	for {
		var page []state
		q := url.Values{"symbol": {symbol}, "orderId": {strconv.FormatInt(from, 10)}, "limit": {strconv.Itoa(pageSize)}}
		if err := m.client.Call(ctx, http.MethodGet, "/api/v3/allOrders", q, &page); err != nil {
			return fmt.Errorf("list orders: %w", err)
		}
		for _, s := range page {
			if twin, twice := listed[s.ClientOrderID]; twice {
				return fmt.Errorf("client order id %s belongs to the orders %d and %d", s.ClientOrderID, twin.OrderID, s.OrderID)
			}
			listed[s.ClientOrderID] = s
			from = max(from, s.OrderID+1)
		}
		if len(page) < pageSize {
			break
		}
	}
	for _, o := range orders {
		now, exists := listed[o.clientID]
		if err := o.agrees(now, exists); err != nil {
			return err
		}
		l.foundAs(o, now, exists)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled[fmt.Sprint(m.id, symbol)] = from
	return nil
}

// before is a number below those of the orders that were sent after the last check. Each
// instance numbers from a block of its own; should one be older than idSpread, the last
// check, of everything, still finds its orders.
func (l *Load) before(m *member, symbol string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(1, l.settled[fmt.Sprint(m.id, symbol)]-idSpread)
}

func (l *Load) foundAs(o *Order, now state, exists bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.told == Unknown && exists && now.Status != pendingNew {
		// From now on it must stay.
		o.told, o.seen, o.quantity = Done, now, now.OrigQty
		l.sum.Placed++
		l.sum.Acknowledged++
		l.sum.Unknown--
	}
	if o.told == Done && !o.counted {
		o.counted = true
		l.sum.Found++
	}
	if exists && o.seen.OrderID == 0 {
		o.seen.OrderID = now.OrderID // so that it is not looked for from the beginning
	}
	o.found = !exists || !now.open() && now.Status != pendingNew
}

// verifyDeposits asks again for those that were not acknowledged, and adds up.
func (l *Load) verifyDeposits(ctx context.Context) error {
	l.mu.Lock()
	deposits := l.deposits
	l.mu.Unlock()
	for _, d := range deposits {
		if d.told {
			continue
		}
		if err := l.credit(ctx, d); err != nil {
			return fmt.Errorf("ask for deposit %s again: %w", d.reference, err)
		}
		l.mu.Lock()
		d.told = true
		l.sum.Deposits++
		l.mu.Unlock()
	}
	want, have := decimal.NewFromInt(int64(len(deposits))*voucherAmount), decimal.Zero
	for _, m := range l.members {
		balances, err := m.client.Balances(ctx)
		if err != nil {
			return fmt.Errorf("balances: %w", err)
		}
		for _, b := range balances {
			if b.Asset != voucher {
				continue
			}
			free, err := decimal.NewFromString(b.Free)
			if err != nil {
				return fmt.Errorf("balance %q: %w", b.Free, err)
			}
			have = have.Add(free)
		}
	}
	if !have.Equal(want) {
		return fmt.Errorf("%s %s were deposited, the members have %s", want, voucher, have)
	}
	return nil
}

// verifyKeys uses the keys that were acknowledged.
func (l *Load) verifyKeys(ctx context.Context) error {
	l.mu.Lock()
	keys := l.keys
	l.mu.Unlock()
	for _, c := range keys {
		if _, err := c.Balances(ctx); err != nil {
			return fmt.Errorf("a key that was made does not work: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = l.keys[len(keys):]
	return nil
}
