module mscoin/exchange/matching/bench/geseq

go 1.26.0

require (
	github.com/geseq/orderbook v0.0.0-20260622053553-88e80980c691
	github.com/geseq/udecimal v0.0.0-20211126195629-659dde5a92d8
	mscoin v0.0.0
	mscoin/exchange/matching/bench v0.0.0
)

replace (
	mscoin => ../../../..
	mscoin/exchange/matching/bench => ..
)
