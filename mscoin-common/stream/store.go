package stream

import (
	"context"
	"time"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
)

// Fences moves positions at the beginning of a transaction, and keeps what is set aside.
// *database.Tx is one, and says what each method does.
type Fences interface {
	AdvancePosition(consumer, topic string, partition int, from, to int64, fingerprint []byte) error
	AdvanceSymbol(consumer, symbol string, fromSeq, toSeq int64, hash []byte) error
	AdvanceHalt(consumer, symbol string, version int64) error

	InsertHalt(h database.Halt) error
	SetHalt(h database.Halt) error
	DropHalt(consumer, symbol string) error
	Park(consumer, symbol string, records []database.Parked) error
	Unpark(consumer, symbol string, from, to int64) error
	MoveParked(consumer, symbol string, from, to int64) error
	RecordDecision(d database.Decision) error
}

// Store keeps the positions. DatabaseStore makes one of a database.
type Store interface {
	LoadPosition(ctx context.Context, consumer, topic string, partition int) (database.Position, error)
	LoadSymbolPositions(ctx context.Context, consumer string) (map[string]database.SymbolPosition, error)
	// SymbolSeq returns the last applied seq of one symbol, 0 when there is none.
	SymbolSeq(ctx context.Context, consumer, symbol string) (int64, error)
	LoadHalts(ctx context.Context, consumer string) (map[string]database.Halt, error)
	LoadParked(ctx context.Context, consumer, symbol string, from int64, limit int, maxBytes int64) ([]database.Parked, error)
	FindParked(ctx context.Context, consumer, symbol string, seq int64) (place int64, err error)
	FindDecision(ctx context.Context, requestID string) (database.Decision, bool, error)
	// Tx runs fn in one transaction, perhaps several times.
	Tx(ctx context.Context, fn func(fences Fences, tx *database.Tx) error) error
}

// Source delivers one partition from an offset on, as a *bus.Subscription does.
type Source interface {
	Fetch(ctx context.Context, limit int, wait time.Duration) ([]bus.Message, error)
	Close()
}

// Bus is what a consumer needs of the broker. ClientBus makes one of a client.
type Bus interface {
	Bounds(ctx context.Context, topic string, partition int) (first, end int64, err error)
	ReadOne(ctx context.Context, topic string, partition int, offset int64) (bus.Message, error)
	Produce(ctx context.Context, topic string, partition int, msgs []bus.Message) (int64, error)
	Open(topic string, partition int, offset int64) Source
}

// DatabaseStore keeps the positions in db, where database.MigratePositions has created their tables.
func DatabaseStore(db *database.DB) Store { return databaseStore{db} }

type databaseStore struct{ *database.DB }

func (s databaseStore) Tx(ctx context.Context, fn func(Fences, *database.Tx) error) error {
	return s.DB.Tx(ctx, func(tx *database.Tx) error { return fn(tx, tx) })
}

// ClientBus reads and writes with client.
func ClientBus(client *bus.Client) Bus { return clientBus{client} }

type clientBus struct{ *bus.Client }

func (b clientBus) Open(topic string, partition int, offset int64) Source {
	return b.Subscribe(topic, partition, offset)
}
