// Package lease shares the partitions of a service among its instances: each partition
// is worked on by one of them, and when that one dies another takes over.
//
// A lease is a row of the service's database: partition, owner, endpoint, epoch and the
// time at which it ends. All times are the database's; the clocks of the instances may
// show anything. An owner renews its leases several times within their life, and gives
// one up by itself when it has not been able to, a margin before the database would let
// somebody else in: it measures with its monotonic clock from the moment before it asked
// the database how long the lease still lasts. So two instances never hold a lease at the
// same time of the database, however they pause, crash or lose messages, as long as their
// clocks run at rates that differ by less than the margin (an eighth of the life).
//
// A stopped process cannot notice anything, though, and what it had begun goes on when it
// wakes up. Leases are therefore for order and speed, not for the safety of money: two
// owners of a partition write the same records, and consumers drop duplicates.
//
// Each operation is one statement outside any transaction: an instance that is stopped in
// the middle of one holds no lock that the others would wait for.
//
// A [Manager] keeps an instance's leases and runs the work of each while it is held.
package lease
