// Command gateway runs the REST door of the exchange.
package main

import (
	gatewaysvc "mscoin/gateway/service"
	"mscoin/mscoin-common/launch"
)

func main() { launch.Main("gateway", gatewaysvc.New) }
