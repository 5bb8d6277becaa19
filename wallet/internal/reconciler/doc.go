// Package reconciler reads the databases for wallet/reconcile and tells people what it
// found. It only reads, in one transaction for each database that sees one state of it,
// and works while traffic runs: the order store's state is taken after the wallet's,
// which it is never behind, and both are compared at the record that the wallet has
// settled.
//
// Rows are streamed in the order of their keys and never kept: see [reconcile.Sketch].
// When its sums differ, the suspects are read a second time from the same states.
package reconciler
