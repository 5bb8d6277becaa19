// Command market runs the service of public market data.
package main

import (
	marketsvc "mscoin/market/service"
	"mscoin/mscoin-common/launch"
)

func main() { launch.Main("market", marketsvc.New) }
