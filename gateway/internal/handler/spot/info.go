package spot

import (
	"context"
	"encoding/json"
	"math"
	"slices"

	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/param"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/money"
)

const (
	permissionSpot     = "SPOT"
	permissionsPattern = `^[A-Z0-9_]{1,20}$`
	wholePpm           = 1_000_000
)

// ping is GET /api/v3/ping.
func (a *API) ping(context.Context, *call) (any, error) { return struct{}{}, nil }

// time is GET /api/v3/time.
func (a *API) time(context.Context, *call) (any, error) {
	return struct {
		ServerTime int64 `json:"serverTime"`
	}{a.clk.NowMs()}, nil
}

type infoAnswer struct {
	Timezone        string       `json:"timezone"`
	ServerTime      int64        `json:"serverTime"`
	RateLimits      []rateLimit  `json:"rateLimits"`
	ExchangeFilters []any        `json:"exchangeFilters"`
	Symbols         []symbolInfo `json:"symbols"`
}

type rateLimit struct {
	RateLimitType string `json:"rateLimitType"`
	Interval      string `json:"interval"`
	IntervalNum   int    `json:"intervalNum"`
	Limit         int64  `json:"limit"`
}

type symbolInfo struct {
	Symbol                     string     `json:"symbol"`
	Status                     string     `json:"status"`
	BaseAsset                  string     `json:"baseAsset"`
	BaseAssetPrecision         int32      `json:"baseAssetPrecision"`
	QuoteAsset                 string     `json:"quoteAsset"`
	QuotePrecision             int32      `json:"quotePrecision"`
	QuoteAssetPrecision        int32      `json:"quoteAssetPrecision"`
	BaseCommissionPrecision    int32      `json:"baseCommissionPrecision"`
	QuoteCommissionPrecision   int32      `json:"quoteCommissionPrecision"`
	OrderTypes                 []string   `json:"orderTypes"`
	IcebergAllowed             bool       `json:"icebergAllowed"`
	OCOAllowed                 bool       `json:"ocoAllowed"`
	OTOAllowed                 bool       `json:"otoAllowed"`
	OPOAllowed                 bool       `json:"opoAllowed"`
	QuoteOrderQtyMarketAllowed bool       `json:"quoteOrderQtyMarketAllowed"`
	AllowTrailingStop          bool       `json:"allowTrailingStop"`
	CancelReplaceAllowed       bool       `json:"cancelReplaceAllowed"`
	AmendAllowed               bool       `json:"amendAllowed"`
	PegInstructionsAllowed     bool       `json:"pegInstructionsAllowed"`
	IsSpotTradingAllowed       bool       `json:"isSpotTradingAllowed"`
	IsMarginTradingAllowed     bool       `json:"isMarginTradingAllowed"`
	Filters                    []any      `json:"filters"`
	Permissions                []string   `json:"permissions"`
	PermissionSets             [][]string `json:"permissionSets"`
	DefaultSTPMode             string     `json:"defaultSelfTradePreventionMode"`
	AllowedSTPModes            []string   `json:"allowedSelfTradePreventionModes"`
}

type priceFilter struct {
	FilterType string `json:"filterType"`
	MinPrice   string `json:"minPrice"`
	MaxPrice   string `json:"maxPrice"`
	TickSize   string `json:"tickSize"`
}

type lotSizeFilter struct {
	FilterType string `json:"filterType"`
	MinQty     string `json:"minQty"`
	MaxQty     string `json:"maxQty"`
	StepSize   string `json:"stepSize"`
}

type notionalFilter struct {
	FilterType       string `json:"filterType"`
	MinNotional      string `json:"minNotional"`
	ApplyMinToMarket bool   `json:"applyMinToMarket"`
	MaxNotional      string `json:"maxNotional"`
	ApplyMaxToMarket bool   `json:"applyMaxToMarket"`
	AvgPriceMins     int    `json:"avgPriceMins"`
}

type maxOrdersFilter struct {
	FilterType   string `json:"filterType"`
	MaxNumOrders int32  `json:"maxNumOrders"`
}

type percentPriceFilter struct {
	FilterType        string `json:"filterType"`
	BidMultiplierUp   string `json:"bidMultiplierUp"`
	BidMultiplierDown string `json:"bidMultiplierDown"`
	AskMultiplierUp   string `json:"askMultiplierUp"`
	AskMultiplierDown string `json:"askMultiplierDown"`
	AvgPriceMins      int    `json:"avgPriceMins"`
}

// exchangeInfo is GET /api/v3/exchangeInfo.
func (a *API) exchangeInfo(ctx context.Context, c *call) (any, error) {
	d := c.params()
	showPermissions := d.boolean("showPermissionSets", true)
	status := d.symbolStatus()
	spot := d.permissions()
	if d.hasSymbols() && (status != "" || sent(c.values, "permissions")) {
		d.fail(errCombination)
	}
	symbols, _, err := a.symbols(ctx, d)
	if err != nil {
		return nil, err
	}
	answer := infoAnswer{
		Timezone: "UTC", ServerTime: a.clk.NowMs(), RateLimits: a.rateLimits(), ExchangeFilters: []any{},
		Symbols: make([]symbolInfo, 0, len(symbols)),
	}
	for _, s := range symbols {
		if !spot || status != "" && statusOfPhase(s.GetPhase()) != status {
			continue
		}
		info := infoOf(s)
		if !showPermissions {
			info.PermissionSets = [][]string{}
		}
		answer.Symbols = append(answer.Symbols, info)
	}
	return answer, nil
}

func sent(v param.Values, name string) bool {
	_, ok := v.Lookup(name)
	return ok
}

// hasSymbols reports whether the request names symbols.
func (d *decoder) hasSymbols() bool { return sent(d.values, "symbol") || sent(d.values, "symbols") }

// symbols returns the symbols a request names, or all of them; one tells that the
// request named one by symbol, so that the answer is an object.
func (a *API) symbols(ctx context.Context, d *decoder) (symbols []*exchangepb.Symbol, one bool, err error) {
	name, names := d.symbolText(), d.symbolTexts()
	if name != "" && names != nil {
		d.fail(errCombination)
	}
	if err := d.err(); err != nil {
		return nil, false, err
	}
	switch {
	case name != "":
		names = []string{name}
	case names == nil:
		symbols, err = a.catalog.All(ctx)
		return symbols, false, err
	}
	for _, n := range names {
		s, err := a.catalog.ByPublic(ctx, n)
		if err != nil {
			return nil, false, err
		}
		symbols = append(symbols, s)
	}
	return symbols, name != "", nil
}

// symbolStatus reads the status that symbols must have, "" for any.
func (d *decoder) symbolStatus() string {
	status := d.text("symbolStatus")
	if status != "" && !slices.Contains([]string{"TRADING", "END_OF_DAY", "HALT", "BREAK", "CANCEL_ONLY"}, status) {
		d.fail(errSymbolStatus)
	}
	return status
}

// permissions reports whether spot symbols are asked for; there are no others.
func (d *decoder) permissions() bool {
	text := d.text("permissions")
	if text == "" {
		return true
	}
	names := []string{text}
	if text[0] == '[' {
		names = nil
		if err := json.Unmarshal([]byte(text), &names); err != nil || len(names) == 0 {
			d.fail(errInvalid("permissions"))
		}
	}
	for _, name := range names {
		if !matches(name, 20, func(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' }) {
			d.fail(errIllegal("permissions", permissionsPattern))
		}
	}
	return slices.Contains(names, permissionSpot)
}

// rateLimits publishes the limits that are on.
func (a *API) rateLimits() []rateLimit {
	all := []rateLimit{
		{"REQUEST_WEIGHT", "MINUTE", 1, a.cfg.WeightPerMinute},
		{"ORDERS", "SECOND", 10, a.cfg.OrdersPer10s},
		{"ORDERS", "DAY", 1, a.cfg.OrdersPerDay},
	}
	return slices.DeleteFunc(all, func(l rateLimit) bool { return l.Limit == 0 })
}

func infoOf(s *exchangepb.Symbol) symbolInfo {
	types := []string{typeLimit, typeLimitMaker}
	if s.GetMarketBuyEnabled() || s.GetMarketSellEnabled() {
		types = append(types, typeMarket)
	}
	return symbolInfo{
		Symbol: client.PublicName(s.GetName()), Status: statusOfPhase(s.GetPhase()),
		BaseAsset: s.GetBaseCoin(), BaseAssetPrecision: s.GetBaseScale(),
		QuoteAsset: s.GetQuoteCoin(), QuotePrecision: s.GetQuoteScale(), QuoteAssetPrecision: s.GetQuoteScale(),
		BaseCommissionPrecision: s.GetBaseScale(), QuoteCommissionPrecision: s.GetQuoteScale(),
		OrderTypes: types, QuoteOrderQtyMarketAllowed: s.GetMarketBuyEnabled() || s.GetMarketSellEnabled(),
		IsSpotTradingAllowed: true, Filters: filtersOf(s), Permissions: []string{},
		PermissionSets: [][]string{{permissionSpot}}, DefaultSTPMode: defaultSTP, AllowedSTPModes: stpModes,
	}
}

func filtersOf(s *exchangepb.Symbol) []any {
	maxNotional := param.Fixed8(s.GetMaxNotional())
	if param.IsZero(maxNotional) {
		// No limit of its own: what the exchange can count is the limit.
		maxNotional = param.Fixed8(money.Format(math.MaxInt64, int(s.GetQuoteScale())))
	}
	filters := []any{
		priceFilter{"PRICE_FILTER", param.Fixed8(s.GetMinPrice()), param.Fixed8(s.GetMaxPrice()), param.Fixed8(s.GetTickSize())},
		lotSizeFilter{"LOT_SIZE", param.Fixed8(s.GetMinQuantity()), param.Fixed8(s.GetMaxQuantity()), param.Fixed8(s.GetLotSize())},
		notionalFilter{FilterType: "NOTIONAL", MinNotional: param.Fixed8(s.GetMinNotional()), MaxNotional: maxNotional},
	}
	if s.GetMaxOpenOrders() > 0 {
		filters = append(filters, maxOrdersFilter{"MAX_NUM_ORDERS", s.GetMaxOpenOrders()})
	}
	if s.GetBandUpPpm() > 0 || s.GetBandDownPpm() > 0 {
		up := money.Format(wholePpm+s.GetBandUpPpm(), ppmScale)
		down := money.Format(wholePpm-s.GetBandDownPpm(), ppmScale)
		filters = append(filters, percentPriceFilter{"PERCENT_PRICE_BY_SIDE", up, down, up, down, 0})
	}
	return filters
}

func statusOfPhase(phase eventpb.Phase) string {
	switch phase {
	case eventpb.Phase_PHASE_TRADING:
		return "TRADING"
	case eventpb.Phase_PHASE_CANCEL_ONLY:
		return "CANCEL_ONLY"
	case eventpb.Phase_PHASE_HALT:
		return "HALT"
	case eventpb.Phase_PHASE_UNSPECIFIED:
		return "BREAK"
	default:
		return "BREAK"
	}
}
