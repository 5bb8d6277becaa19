module mscoin/exchange/matching/bench

go 1.26.0

require mscoin v0.0.0

replace mscoin => ../../..
