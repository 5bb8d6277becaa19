// Command wallet runs the service of balances, holds and settlement.
package main

import (
	"mscoin/mscoin-common/launch"
	walletsvc "mscoin/wallet/service"
)

func main() { launch.Main("wallet", walletsvc.New) }
