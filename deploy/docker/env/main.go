// Command env writes the .env of docker-compose.yml: a random secret for each purpose.
// An existing file is left alone: with other secrets the data could not be opened.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"mscoin/deploy/internal/private"
)

const secretBytes = 32

func main() {
	file := flag.String("o", ".env", "file to write")
	flag.Parse()
	if _, err := os.Stat(*file); !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "env:", *file, "is there already and stays as it is")
		return
	}
	if err := private.WriteFile(*file, []byte(content())); err != nil {
		fmt.Fprintln(os.Stderr, "env:", err)
		os.Exit(1)
	}
}

// content renders the file.
func content() string {
	var b strings.Builder
	b.WriteString("# Secrets of this installation. Made by make env; keep a copy: without\n# MSCOIN_UCENTER_MASTER_KEY no API secret can be read.\n")
	add := func(name, value string) { fmt.Fprintf(&b, "%s=%s\n", name, value) }
	for _, name := range []string{"MYSQL_ROOT_PASSWORD", "MSCOIN_REDIS_PASSWORD", "MSCOIN_INTERNAL_TOKEN", "MSCOIN_ADMIN_TOKEN", "MSCOIN_UCENTER_ACCESS_SECRET", "MSCOIN_CUSTODY_TOKEN", "GRAFANA_ADMIN_PASSWORD"} {
		add(name, private.RandomHex(secretBytes))
	}
	for _, name := range []string{"MSCOIN_UCENTER_MASTER_KEY", "MSCOIN_UCENTER_HASH_KEY"} {
		raw := make([]byte, secretBytes)
		_, _ = rand.Read(raw) // never fails
		add(name, base64.StdEncoding.EncodeToString(raw))
	}
	for _, service := range []string{"wallet", "exchange", "market", "ucenter"} {
		add("MSCOIN_"+strings.ToUpper(service)+"_DSN", fmt.Sprintf("mscoin_%s:%s@tcp(mysql:3306)/mscoin_%s", service, private.RandomHex(secretBytes), service))
	}
	b.WriteString("# Partitions of the money topics: how many matchers can work at a time. It cannot be changed once there are orders.\n")
	add("MSCOIN_PARTITIONS", "1")
	return b.String()
}
