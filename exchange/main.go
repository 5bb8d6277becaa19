// Command exchange runs the service of orders and matching.
package main

import (
	exchangesvc "mscoin/exchange/service"
	"mscoin/mscoin-common/launch"
)

func main() { launch.Main("exchange", exchangesvc.New) }
