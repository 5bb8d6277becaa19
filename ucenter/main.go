// Command ucenter runs the service of members, sessions and API keys.
package main

import (
	"mscoin/mscoin-common/launch"
	ucentersvc "mscoin/ucenter/service"
)

func main() { launch.Main("ucenter", ucentersvc.New) }
