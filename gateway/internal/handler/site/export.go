package site

import (
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mscoin/gateway/internal/handler/envelope"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
)

const (
	// exportPage is how many lines are asked for at once, and all that is kept of an export.
	exportPage = 500
	// exportTime bounds an export.
	exportTime = 5 * time.Minute
)

var exportColumns = []string{
	"time", "txId", "line", "type", "coinName", "account", "amount", "balanceAfter", "symbol", "orderId", "reference",
}

// exportTransactions is /uc/asset/transaction/export {coinName, symbol, type, startTime,
// endTime}: the member's journal as CSV, newest first, while it is read. An export that
// breaks off has no end: the connection is cut, so that it is not taken for complete.
func (a *API) exportTransactions(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), exportTime)
	defer cancel()
	f, err := envelope.Read(r)
	if err != nil {
		envelope.Fail(w, err)
		return
	}
	c, err := a.admit(ctx, r, f, heavy, true)
	if err != nil {
		envelope.Fail(w, err)
		return
	}
	request := statementOf(c)
	if err := c.Err(); err != nil {
		envelope.Fail(w, err)
		return
	}
	request.PageSize = exportPage
	page, err := a.exportPage(ctx, request)
	if err != nil {
		envelope.Fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="transactions.csv"`)
	if err := a.writeExport(ctx, w, request, page); err != nil {
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to cut an answer that has begun
	}
}

func (a *API) exportPage(ctx context.Context, request *walletpb.ListTransactionsRequest) (*walletpb.ListTransactionsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ReadTimeout)
	defer cancel()
	return a.backends.Wallet.ListTransactions(ctx, request)
}

func (a *API) writeExport(ctx context.Context, w http.ResponseWriter, request *walletpb.ListTransactionsRequest, page *walletpb.ListTransactionsResponse) error {
	out := csv.NewWriter(w)
	if err := out.Write(exportColumns); err != nil {
		return err
	}
	for {
		for _, t := range page.GetTransactions() {
			if err := out.Write(exportRow(t)); err != nil {
				return err
			}
		}
		out.Flush()
		if err := out.Error(); err != nil || page.GetNextPageToken() == "" {
			return err
		}
		request.PageToken = page.GetNextPageToken()
		var err error
		if page, err = a.exportPage(ctx, request); err != nil {
			return err
		}
	}
}

func exportRow(t *walletpb.Transaction) []string {
	return []string{
		time.UnixMilli(t.GetTimeMs()).UTC().Format("2006-01-02T15:04:05.000Z"), strconv.FormatInt(t.GetTxId(), 10),
		strconv.FormatInt(int64(t.GetLine()), 10), cell(t.GetKind()), cell(t.GetCoin()), cell(t.GetAccount()),
		t.GetAmount(), t.GetBalanceAfter(), cell(t.GetSymbol()), strconv.FormatInt(t.GetOrderId(), 10), cell(t.GetReference()),
	}
}

// cell keeps a text from being taken for a formula by a spreadsheet: references are
// chosen by others.
func cell(text string) string {
	if strings.ContainsAny(text[:min(1, len(text))], "=+-@\t\r\n|%") {
		return "'" + text
	}
	return text
}
