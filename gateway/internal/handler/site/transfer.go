package site

import (
	"context"
	"strconv"
	"strings"

	"mscoin/gateway/internal/handler/envelope"
	"mscoin/gateway/internal/param"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
)

const (
	maxCoin      = 10
	maxAddress   = 128
	maxRequestID = 64
	maxRemark    = 64
	maxState     = 16
	codeDigits   = 6
	defaultRows  = 20
	mostRows     = 500
)

// getTwoFactor is /uc/two-factor.
func (a *API) getTwoFactor(ctx context.Context, c *call) (any, error) {
	resp, err := a.backends.Ucenter.GetTwoFactor(ctx, &ucenterpb.GetTwoFactorRequest{MemberId: c.member})
	if err != nil {
		return nil, err
	}
	return struct {
		Enabled bool `json:"enabled"`
	}{resp.GetEnabled()}, nil
}

// enrollTwoFactor is /uc/two-factor/enroll.
func (a *API) enrollTwoFactor(ctx context.Context, c *call) (any, error) {
	resp, err := a.backends.Ucenter.EnrollTwoFactor(ctx, &ucenterpb.EnrollTwoFactorRequest{MemberId: c.member})
	if err != nil {
		return nil, err
	}
	return struct {
		Secret string `json:"secret"`
		URI    string `json:"uri"`
	}{resp.GetSecret(), resp.GetUri()}, nil
}

// confirmTwoFactor is /uc/two-factor/confirm.
func (a *API) confirmTwoFactor(ctx context.Context, c *call) (any, error) {
	code := c.Mandatory("code", codeDigits)
	if err := c.Err(); err != nil {
		return nil, err
	}
	_, err := a.backends.Ucenter.ConfirmTwoFactor(ctx, &ucenterpb.ConfirmTwoFactorRequest{MemberId: c.member, Code: code})
	return nil, err
}

// disableTwoFactor is /uc/two-factor/disable.
func (a *API) disableTwoFactor(ctx context.Context, c *call) (any, error) {
	code := c.Mandatory("code", codeDigits)
	if err := c.Err(); err != nil {
		return nil, err
	}
	_, err := a.backends.Ucenter.DisableTwoFactor(ctx, &ucenterpb.DisableTwoFactorRequest{MemberId: c.member, Code: code})
	return nil, err
}

// secondFactor checks the code that comes with a request; what are the request's parts.
// The code is good for the same request again, and for no other.
func (a *API) secondFactor(ctx context.Context, memberID int64, code string, what ...string) error {
	_, err := a.backends.Ucenter.VerifyTwoFactor(ctx, &ucenterpb.VerifyTwoFactorRequest{
		MemberId: memberID, Code: code, Purpose: strings.Join(what, "\x00"),
	})
	if err != nil {
		return nothingDone(err)
	}
	return nil
}

// depositAddress is /uc/asset/wallet/reset-address: the member's address in the coin,
// issued when there is none.
func (a *API) depositAddress(ctx context.Context, c *call) (any, error) {
	unit := c.Mandatory("unit", maxCoin)
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.GetDepositAddress(ctx, &walletpb.GetDepositAddressRequest{MemberId: c.member, Coin: unit})
	if err != nil {
		return nil, err
	}
	return struct {
		Unit    string `json:"unit"`
		Address string `json:"address"`
	}{unit, resp.GetAddress()}, nil
}

// rows is a page of the site's lists; before of the next one is 0 at the end.
type rows[T any] struct {
	Content []T   `json:"content"`
	Before  int64 `json:"before"`
}

type deposit struct {
	ID            int64  `json:"id"`
	Unit          string `json:"unit"`
	Address       string `json:"address"`
	TxID          string `json:"txid"`
	OutputIndex   int64  `json:"outputIndex"`
	ChainAmount   string `json:"chainAmount"`
	Amount        string `json:"amount"`
	Status        string `json:"status"`
	Confirmations int64  `json:"confirmations"`
	CreateTime    int64  `json:"createTime"`
	UpdateTime    int64  `json:"updateTime"`
}

// page reads the fields that select a page.
func (c *call) page() (coin, state string, size int32, before int64) {
	return c.Text("unit", maxCoin), c.Text("status", maxState), int32(c.Int("pageSize", defaultRows, 1, mostRows)), c.Int("before", 0, 0, maxID)
}

// listDeposits is /uc/asset/deposit/record.
func (a *API) listDeposits(ctx context.Context, c *call) (any, error) {
	coin, state, size, before := c.page()
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.ListDeposits(ctx, &walletpb.ListDepositsRequest{
		MemberId: c.member, Coin: coin, State: state, PageSize: size, BeforeId: before,
	})
	if err != nil {
		return nil, err
	}
	list := make([]deposit, len(resp.GetDeposits()))
	for i, d := range resp.GetDeposits() {
		list[i] = deposit{
			ID: d.GetId(), Unit: d.GetCoin(), Address: d.GetAddress(), TxID: d.GetChainTx(), OutputIndex: d.GetOutputIndex(),
			ChainAmount: d.GetChainAmount(), Amount: d.GetAmount(), Status: d.GetState(), Confirmations: d.GetConfirmations(),
			CreateTime: d.GetCreateTimeMs(), UpdateTime: d.GetUpdateTimeMs(),
		}
	}
	return rows[deposit]{list, resp.GetNextBeforeId()}, nil
}

type transferRules struct {
	Unit          string `json:"unit"`
	Scale         int32  `json:"scale"`
	Confirmations int64  `json:"confirmations"`
	MinDeposit    string `json:"minDeposit"`
	MinAmount     string `json:"minAmount"`
	MaxAmount     string `json:"maxAmount"`
	DayLimit      string `json:"dayLimit"`
	Fee           string `json:"fee"`
	Threshold     string `json:"threshold"`
}

// withdrawInfo is /uc/withdraw/support/coin/info.
func (a *API) withdrawInfo(ctx context.Context, _ *call) (any, error) {
	resp, err := a.backends.Wallet.ListTransferRules(ctx, &walletpb.ListTransferRulesRequest{})
	if err != nil {
		return nil, err
	}
	list := make([]transferRules, len(resp.GetRules()))
	for i, r := range resp.GetRules() {
		list[i] = transferRules{
			Unit: r.GetCoin(), Scale: r.GetScale(), Confirmations: r.GetConfirmations(), MinDeposit: r.GetMinDeposit(),
			MinAmount: r.GetMinWithdraw(), MaxAmount: r.GetMaxWithdraw(), DayLimit: r.GetDayLimit(), Fee: r.GetFee(), Threshold: r.GetReviewAbove(),
		}
	}
	return list, nil
}

type bookAddress struct {
	Unit       string `json:"unit"`
	Address    string `json:"address"`
	Remark     string `json:"remark"`
	CreateTime int64  `json:"createTime"`
	UsableTime int64  `json:"usableTime"`
}

func bookAddressOf(a *walletpb.Address) bookAddress {
	return bookAddress{a.GetCoin(), a.GetAddress(), a.GetRemark(), a.GetCreateTimeMs(), a.GetUsableTimeMs()}
}

// addAddress is /uc/withdraw/address/add.
func (a *API) addAddress(ctx context.Context, c *call) (any, error) {
	request := &walletpb.AddAddressRequest{
		MemberId: c.member, Coin: c.Mandatory("unit", maxCoin), Address: c.Mandatory("address", maxAddress), Remark: c.Text("remark", maxRemark),
	}
	code := c.Mandatory("code", codeDigits)
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := a.secondFactor(ctx, c.member, code, "address", request.GetCoin(), request.GetAddress(), request.GetRemark()); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.AddAddress(ctx, request)
	if err != nil {
		return nil, err
	}
	return bookAddressOf(resp.GetAddress()), nil
}

// removeAddress is /uc/withdraw/address/delete.
func (a *API) removeAddress(ctx context.Context, c *call) (any, error) {
	request := &walletpb.RemoveAddressRequest{
		MemberId: c.member, Coin: c.Mandatory("unit", maxCoin), Address: c.Mandatory("address", maxAddress),
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	_, err := a.backends.Wallet.RemoveAddress(ctx, request)
	return nil, err
}

// listAddresses is /uc/withdraw/address/page.
func (a *API) listAddresses(ctx context.Context, c *call) (any, error) {
	unit := c.Text("unit", maxCoin)
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.ListAddresses(ctx, &walletpb.ListAddressesRequest{MemberId: c.member, Coin: unit})
	if err != nil {
		return nil, err
	}
	list := make([]bookAddress, len(resp.GetAddresses()))
	for i, address := range resp.GetAddresses() {
		list[i] = bookAddressOf(address)
	}
	return list, nil
}

// withdrawal is a withdrawal in the site's words.
type withdrawal struct {
	ID         int64  `json:"id"`
	RequestID  string `json:"requestId"`
	Unit       string `json:"unit"`
	Address    string `json:"address"`
	Amount     string `json:"amount"`
	Fee        string `json:"fee"`
	Status     string `json:"status"`
	TxID       string `json:"txid"`
	Reason     string `json:"reason"`
	CreateTime int64  `json:"createTime"`
	SentTime   int64  `json:"sentTime"`
	UpdateTime int64  `json:"updateTime"`
}

func withdrawalOf(w *walletpb.Withdrawal) withdrawal {
	return withdrawal{
		ID: w.GetId(), RequestID: w.GetRequestId(), Unit: w.GetCoin(), Address: w.GetAddress(), Amount: w.GetAmount(), Fee: w.GetFee(),
		Status: w.GetState(), TxID: w.GetChainTx(), Reason: w.GetReason(),
		CreateTime: w.GetCreateTimeMs(), SentTime: w.GetSentTimeMs(), UpdateTime: w.GetUpdateTimeMs(),
	}
}

// withdraw is /uc/withdraw/apply. The request id makes it happen once, however often it
// is sent.
func (a *API) withdraw(ctx context.Context, c *call) (any, error) {
	request := &walletpb.WithdrawRequest{
		RequestId: c.Mandatory("requestId", maxRequestID), MemberId: c.member, Coin: c.Mandatory("unit", maxCoin),
		Address: c.Mandatory("address", maxAddress), Amount: c.Amount("amount"),
	}
	code := c.Mandatory("code", codeDigits)
	if err := c.Err(); err != nil {
		return nil, err
	}
	err := a.secondFactor(ctx, c.member, code, "withdraw", request.GetRequestId(), request.GetCoin(), request.GetAddress(), request.GetAmount())
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.Withdraw(ctx, request)
	if err != nil {
		return nil, err
	}
	return struct {
		withdrawal

		Repeated bool `json:"repeated"`
	}{withdrawalOf(resp.GetWithdrawal()), resp.GetRepeatedRequest()}, nil
}

// cancelWithdrawal is /uc/withdraw/cancel/:id.
func (a *API) cancelWithdrawal(ctx context.Context, c *call) (any, error) {
	text := c.path("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !param.IsLong(text) || id <= 0 {
		return nil, envelope.BadRequest("id must be a whole number")
	}
	resp, err := a.backends.Wallet.CancelWithdrawal(ctx, &walletpb.CancelWithdrawalRequest{MemberId: c.member, Id: id})
	if err != nil {
		return nil, err
	}
	return withdrawalOf(resp.GetWithdrawal()), nil
}

// listWithdrawals is /uc/withdraw/record.
func (a *API) listWithdrawals(ctx context.Context, c *call) (any, error) {
	coin, state, size, before := c.page()
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.ListWithdrawals(ctx, &walletpb.ListWithdrawalsRequest{
		MemberId: c.member, Coin: coin, State: state, PageSize: size, BeforeId: before,
	})
	if err != nil {
		return nil, err
	}
	list := make([]withdrawal, len(resp.GetWithdrawals()))
	for i, w := range resp.GetWithdrawals() {
		list[i] = withdrawalOf(w)
	}
	return rows[withdrawal]{list, resp.GetNextBeforeId()}, nil
}
