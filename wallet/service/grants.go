package service

import (
	"fmt"
	"slices"

	"mscoin/wallet/internal/store"
)

// tables are all tables of the wallet's database; a test compares them with those that
// its migrations make.
var tables = []string{
	"chain_spend", "coin", "consumer_position", "deposit_record", "halt_decision", "id_block", "lease", "lease_instance",
	"member_address", "member_wallet", "parked_record", "schema_migration", "symbol_halt", "symbol_position", "wallet_address",
	"wallet_chain", "wallet_chain_block", "wallet_closed", "wallet_decision", "wallet_deposit", "wallet_hold", "wallet_journal",
	"wallet_reconcile_pass", "wallet_reconciled", "wallet_reconciled_coin", "wallet_reconciled_symbol", "wallet_seal",
	"wallet_seal_segment", "wallet_stop", "wallet_suspense", "wallet_symbol", "withdraw_record", "withdraw_review",
}

// Grants returns the statements that give a user of MySQL or MariaDB what the service
// needs on its database, and take away everything else: it may make tables and read and
// add rows anywhere, but neither change nor remove a row of the journal. Run them as an
// administrator whenever the service is brought up to date. account is like
// 'user'@'host', quoted.
func Grants(account, database string) []string {
	pattern := "`" + escapePattern(database) + "`"
	statements := []string{
		fmt.Sprintf("GRANT SELECT ON %s.* TO %s", pattern, account), // or there is nothing to revoke
		fmt.Sprintf("REVOKE ALL PRIVILEGES ON %s.* FROM %s", pattern, account),
		fmt.Sprintf("GRANT SELECT, INSERT, CREATE, ALTER, INDEX, REFERENCES ON %s.* TO %s", pattern, account),
	}
	for _, table := range tables {
		if !slices.Contains(store.InsertOnly(), table) {
			// CREATE, because the table may not be there yet.
			statements = append(statements, fmt.Sprintf("GRANT CREATE, UPDATE, DELETE ON `%s`.`%s` TO %s", database, table, account))
		}
	}
	return statements
}

// escapePattern keeps an underscore of a name from standing for any character.
func escapePattern(name string) string {
	var out []rune
	for _, r := range name {
		if r == '_' || r == '%' {
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}
