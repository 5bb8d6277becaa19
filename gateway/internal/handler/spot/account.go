package spot

import (
	"context"

	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/param"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/money"
)

const (
	usualPage = 500
	mostPage  = 1000
	ppmPerBps = 100
	ppmScale  = 6
)

// openOrders is GET /api/v3/openOrders.
func (a *API) openOrders(ctx context.Context, c *call) (any, error) {
	d := c.params()
	request := &exchangepb.ListOpenOrdersRequest{MemberId: c.member}
	if _, sent := c.values.Lookup("symbol"); sent {
		symbol, err := a.mandatorySymbol(ctx, d)
		if err != nil {
			return nil, err
		}
		request.Symbol = symbol.GetName()
	}
	request.ReadAfter = client.ForExchange(a.positions.After(ctx, c.member))
	resp, err := a.backends.Exchange.ListOpenOrders(ctx, request)
	if err != nil {
		return nil, err
	}
	return ordersOf(resp.GetOrders()), nil
}

// allOrders is GET /api/v3/allOrders.
func (a *API) allOrders(ctx context.Context, c *call) (any, error) {
	d := c.params()
	symbol, err := a.mandatorySymbol(ctx, d)
	if err != nil {
		return nil, err
	}
	request := &exchangepb.ListOrdersRequest{MemberId: c.member, Symbol: symbol.GetName(), FromOrderId: d.long("orderId")}
	request.StartTimeMs, request.EndTimeMs = d.interval()
	request.PageSize = d.limit(usualPage, mostPage)
	if err := d.err(); err != nil {
		return nil, err
	}
	request.ReadAfter = client.ForExchange(a.positions.After(ctx, c.member))
	resp, err := a.backends.Exchange.ListOrders(ctx, request)
	if err != nil {
		return nil, err
	}
	return ordersOf(resp.GetOrders()), nil
}

// myTrades is GET /api/v3/myTrades.
func (a *API) myTrades(ctx context.Context, c *call) (any, error) {
	d := c.params()
	symbol, err := a.mandatorySymbol(ctx, d)
	if err != nil {
		return nil, err
	}
	request := &exchangepb.ListTradesRequest{MemberId: c.member, Symbol: symbol.GetName()}
	var byOrder, byTrade bool
	request.OrderId, byOrder = d.longIfSent("orderId")
	request.FromTradeId, byTrade = d.longIfSent("fromId")
	request.StartTimeMs, request.EndTimeMs = d.interval()
	if byTime := request.StartTimeMs > 0 || request.EndTimeMs > 0; byTime && (byOrder || byTrade) {
		d.fail(errCombination)
	}
	request.PageSize = d.limit(usualPage, mostPage)
	if err := d.err(); err != nil {
		return nil, err
	}
	if byTrade && request.GetFromTradeId() == 0 {
		request.FromTradeId = 1 // from the first trade on, not the newest page
	}
	request.ReadAfter = client.ForExchange(a.positions.After(ctx, c.member))
	resp, err := a.backends.Exchange.ListTrades(ctx, request)
	if err != nil {
		return nil, err
	}
	return tradesOf(resp.GetFills()), nil
}

type accountAnswer struct {
	MakerCommission  int64           `json:"makerCommission"`
	TakerCommission  int64           `json:"takerCommission"`
	BuyerCommission  int64           `json:"buyerCommission"`
	SellerCommission int64           `json:"sellerCommission"`
	CommissionRates  commissionRates `json:"commissionRates"`
	CanTrade         bool            `json:"canTrade"`
	CanWithdraw      bool            `json:"canWithdraw"`
	CanDeposit       bool            `json:"canDeposit"`
	Brokered         bool            `json:"brokered"`
	RequireSTP       bool            `json:"requireSelfTradePrevention"`
	PreventSOR       bool            `json:"preventSor"`
	UpdateTime       int64           `json:"updateTime"`
	AccountType      string          `json:"accountType"`
	Balances         []balance       `json:"balances"`
	Permissions      []string        `json:"permissions"`
	UID              int64           `json:"uid"`
}

type commissionRates struct {
	Maker  string `json:"maker"`
	Taker  string `json:"taker"`
	Buyer  string `json:"buyer"`
	Seller string `json:"seller"`
}

type balance struct {
	Asset  string `json:"asset"`
	Free   string `json:"free"`
	Locked string `json:"locked"`
}

// account is GET /api/v3/account.
func (a *API) account(ctx context.Context, c *call) (any, error) {
	d := c.params()
	omitZero := d.boolean("omitZeroBalances", false)
	if err := d.err(); err != nil {
		return nil, err
	}
	symbols, err := a.catalog.All(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.GetWallets(ctx, &walletpb.GetWalletsRequest{
		MemberId: c.member, ReadAfter: client.ForWallet(a.positions.After(ctx, c.member)),
	})
	if err != nil {
		return nil, err
	}
	maker, taker := highestFees(symbols)
	answer := accountAnswer{
		MakerCommission: maker / ppmPerBps, TakerCommission: taker / ppmPerBps,
		CommissionRates: commissionRates{
			Maker: param.Fixed8(money.Format(maker, ppmScale)), Taker: param.Fixed8(money.Format(taker, ppmScale)),
			Buyer: zeroAmount, Seller: zeroAmount,
		},
		CanTrade: true, CanWithdraw: true, CanDeposit: true, AccountType: "SPOT", Permissions: []string{"SPOT"},
		UID: c.member, Balances: []balance{},
	}
	for _, w := range resp.GetWallets() {
		answer.UpdateTime = max(answer.UpdateTime, w.GetUpdateTimeMs())
		b := balance{Asset: w.GetCoin(), Free: param.Fixed8(w.GetAvailable()), Locked: param.Fixed8(w.GetHeld())}
		if omitZero && param.IsZero(b.Free) && param.IsZero(b.Locked) {
			continue
		}
		answer.Balances = append(answer.Balances, b)
	}
	return answer, nil
}

// highestFees returns the highest rates of all symbols, millionths: the account has one
// rate in the dialect, each symbol its own here.
func highestFees(symbols []*exchangepb.Symbol) (maker, taker int64) {
	for _, s := range symbols {
		maker = max(maker, int64(s.GetMakerFeePpm()))
		taker = max(taker, int64(s.GetTakerFeePpm()))
	}
	return maker, taker
}
