package site

import (
	"context"
	"strings"

	"github.com/zeromicro/go-zero/rest/pathvar"

	"mscoin/gateway/internal/client"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
)

const maxPathBytes = 256

// path returns a variable of the request's path.
func (c *call) path(name string) string {
	text := pathvar.Vars(c.request)[name]
	if len(text) > maxPathBytes {
		return ""
	}
	return text
}

type wallet struct {
	MemberID      int64  `json:"memberId"`
	CoinName      string `json:"coinName"`
	Balance       string `json:"balance"`
	FrozenBalance string `json:"frozenBalance"`
	UpdatedTime   int64  `json:"updatedTime"`
}

func (a *API) wallets(ctx context.Context, memberID int64, coin string) ([]wallet, error) {
	resp, err := a.backends.Wallet.GetWallets(ctx, &walletpb.GetWalletsRequest{
		MemberId: memberID, Coin: coin, ReadAfter: client.ForWallet(a.positions.After(ctx, memberID)),
	})
	if err != nil {
		return nil, err
	}
	wallets := make([]wallet, len(resp.GetWallets()))
	for i, w := range resp.GetWallets() {
		wallets[i] = wallet{memberID, w.GetCoin(), w.GetAvailable(), w.GetHeld(), w.GetUpdateTimeMs()}
	}
	return wallets, nil
}

// listWallets is /uc/asset/wallet.
func (a *API) listWallets(ctx context.Context, c *call) (any, error) {
	return a.wallets(ctx, c.member, "")
}

// getWallet is /uc/asset/wallet/:coinName.
func (a *API) getWallet(ctx context.Context, c *call) (any, error) {
	errNoCoin := errs.New(errs.KindNotFound, errs.CodeUnknownCoin, "no such coin")
	coin := c.path("coinName")
	if coin == "" {
		return nil, errNoCoin // a name that is too long; "" would be all coins
	}
	wallets, err := a.wallets(ctx, c.member, coin)
	if err != nil {
		return nil, err
	}
	if len(wallets) == 0 {
		return nil, errNoCoin
	}
	return wallets[0], nil
}

type transaction struct {
	TxID         int64  `json:"txId"`
	Line         int32  `json:"line"`
	Type         string `json:"type"`
	CoinName     string `json:"coinName"`
	Account      string `json:"account"`
	Amount       string `json:"amount"`
	BalanceAfter string `json:"balanceAfter"`
	Symbol       string `json:"symbol"`
	OrderID      int64  `json:"orderId"`
	Reference    string `json:"reference"`
	Time         int64  `json:"time"`
}

// statementOf reads what both kinds of statements are limited to: {coinName, symbol, type,
// startTime, endTime}. A symbol without a slash is a coin, as the site's pages send it.
func statementOf(c *call) *walletpb.ListTransactionsRequest {
	request := &walletpb.ListTransactionsRequest{
		MemberId: c.member, Coin: c.Text("coinName", 10), Kind: c.Text("type", 32), Symbol: c.Text("symbol", 32),
		StartTimeMs: c.Int("startTime", 0, 0, maxID), EndTimeMs: c.Int("endTime", 0, 0, maxID),
	}
	if !strings.Contains(request.GetSymbol(), "/") && request.GetCoin() == "" {
		request.Coin, request.Symbol = request.GetSymbol(), ""
	}
	return request
}

// listTransactions is /uc/asset/transaction/all {coinName, symbol, type, startTime, endTime,
// pageSize, pageToken}: the member's journal, newest first.
func (a *API) listTransactions(ctx context.Context, c *call) (any, error) {
	request := statementOf(c)
	request.PageToken, request.PageSize = c.Text("pageToken", 256), int32(c.Int("pageSize", 100, 1, exportPage))
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.ListTransactions(ctx, request)
	if err != nil {
		return nil, err
	}
	content := make([]transaction, len(resp.GetTransactions()))
	for i, t := range resp.GetTransactions() {
		content[i] = transaction{
			t.GetTxId(), t.GetLine(), t.GetKind(), t.GetCoin(), t.GetAccount(), t.GetAmount(), t.GetBalanceAfter(),
			t.GetSymbol(), t.GetOrderId(), t.GetReference(), t.GetTimeMs(),
		}
	}
	return struct {
		Content       []transaction `json:"content"`
		NextPageToken string        `json:"nextPageToken"`
	}{content, resp.GetNextPageToken()}, nil
}
