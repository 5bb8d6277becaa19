package simchain

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/wallet/custody"
)

// maxBody bounds a request.
const maxBody = 4096

// codes are the errors that a client gets back as they are.
var codes = map[string]error{
	"UNKNOWN_COIN": custody.ErrUnknownCoin, "NO_BLOCK": custody.ErrNoBlock, "BAD_ADDRESS": custody.ErrBadAddress,
	"MISMATCH": custody.ErrMismatch, "ABANDONED": custody.ErrAbandoned, "FUNDS": custody.ErrFunds,
	"REFUSED": custody.ErrRefused, "UNKNOWN_PAYMENT": custody.ErrUnknownPayment,
	"BAD_OPERATION": errOperation, "CONFLICT": errConflict,
}

// failure is the body of an answer with an error.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// request is the body of every request that has one.
type request struct {
	Owner  string `json:"owner,omitempty"`
	Key    string `json:"key,omitempty"`
	ID     string `json:"id,omitempty"`
	To     string `json:"to,omitempty"`
	Amount string `json:"amount,omitempty"`
	TxID   string `json:"txId,omitempty"`
	Blocks int64  `json:"blocks,omitempty"`
	Depth  int64  `json:"depth,omitempty"`
	Drop   bool   `json:"drop,omitempty"`
}

type addressBody struct {
	Address string `json:"address"`
}

type txBody struct {
	TxID string `json:"txId"`
}

// Handler serves a node over HTTP with JSON. Every request carries the token as
// "Authorization: Bearer"; an empty token refuses everybody.
//
//	POST /v1/{coin}/addresses            {"owner"}               → {"address"}
//	GET  /v1/{coin}/head                                         → {"height","hash"}
//	GET  /v1/{coin}/blocks/{height}                              → custody.Block
//	POST /v1/{coin}/payments             {"key","to","amount"}   → custody.Sent
//	GET  /v1/{coin}/payments/{key}                               → custody.Sent
//	POST /v1/{coin}/payments/{key}/abandon                       → custody.Sent
//	GET  /v1/{coin}/balance                                      → custody.Balance
//	POST /control/{coin}/pay             {"id","to","amount"}    → {"txId"}
//	POST /control/{coin}/mine            {"blocks"}              → {"height","hash"}
//	POST /control/{coin}/reorg           {"depth","drop"}        → {"height","hash"}
//	POST /control/{coin}/forget          {"txId"}                → {}
//
// An error is {"code","message"}.
func Handler(n *Node, token string) http.Handler {
	mux := http.NewServeMux()
	add := func(pattern string, handle func(r *http.Request, in *request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { serve(w, r, handle) })
	}
	addCustody(n, add)
	addControls(n, add)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
		if token == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			answer(w, http.StatusUnauthorized, failure{"UNAUTHENTICATED", "the token is missing or wrong"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type adder func(pattern string, handle func(r *http.Request, in *request) (any, error))

func addCustody(n *Node, add adder) {
	coin := func(r *http.Request) string { return r.PathValue("coin") }
	add("POST /v1/{coin}/addresses", func(r *http.Request, in *request) (any, error) {
		address, err := n.Address(r.Context(), coin(r), in.Owner)
		return addressBody{address}, err
	})
	add("GET /v1/{coin}/head", func(r *http.Request, _ *request) (any, error) { return n.Head(r.Context(), coin(r)) })
	add("GET /v1/{coin}/blocks/{height}", func(r *http.Request, _ *request) (any, error) {
		height, err := strconv.ParseInt(r.PathValue("height"), 10, 64)
		if err != nil {
			return nil, custody.ErrNoBlock
		}
		return n.Block(r.Context(), coin(r), height)
	})
	add("POST /v1/{coin}/payments", func(r *http.Request, in *request) (any, error) {
		return n.Send(r.Context(), coin(r), custody.Payment{Key: in.Key, To: in.To, Amount: in.Amount})
	})
	add("GET /v1/{coin}/payments/{key}", func(r *http.Request, _ *request) (any, error) {
		return n.Sent(r.Context(), coin(r), r.PathValue("key"))
	})
	add("POST /v1/{coin}/payments/{key}/abandon", func(r *http.Request, _ *request) (any, error) {
		return n.Abandon(r.Context(), coin(r), r.PathValue("key"))
	})
	add("GET /v1/{coin}/balance", func(r *http.Request, _ *request) (any, error) { return n.Balance(r.Context(), coin(r)) })
}

func addControls(n *Node, add adder) {
	coin := func(r *http.Request) string { return r.PathValue("coin") }
	add("POST /control/{coin}/pay", func(r *http.Request, in *request) (any, error) {
		txID, err := n.Pay(r.Context(), coin(r), in.ID, in.To, in.Amount)
		return txBody{txID}, err
	})
	add("POST /control/{coin}/mine", func(r *http.Request, in *request) (any, error) {
		return n.Mine(r.Context(), coin(r), max(in.Blocks, 1))
	})
	add("POST /control/{coin}/reorg", func(r *http.Request, in *request) (any, error) {
		return n.Reorg(r.Context(), coin(r), in.Depth, in.Drop)
	})
	add("POST /control/{coin}/forget", func(r *http.Request, in *request) (any, error) {
		return struct{}{}, n.Forget(r.Context(), coin(r), in.TxID)
	})
}

func serve(w http.ResponseWriter, r *http.Request, handle func(r *http.Request, in *request) (any, error)) {
	var in request
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, failure{"BAD_REQUEST", "the body is not one JSON object of at most 4096 bytes"})
		return
	}
	data, err := handle(r, &in)
	if err == nil {
		answer(w, http.StatusOK, data)
		return
	}
	for code, known := range codes {
		if errors.Is(err, known) {
			answer(w, http.StatusUnprocessableEntity, failure{code, err.Error()})
			return
		}
	}
	logx.WithContext(r.Context()).Errorf("simchain: %s: %v", r.URL.Path, err)
	answer(w, http.StatusInternalServerError, failure{"INTERNAL", "internal error"})
}

func answer(w http.ResponseWriter, status int, data any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(data) // the client has gone: nobody to tell
}
