package store

import (
	"context"

	"mscoin/mscoin-common/database"
)

// SetFault makes the store fail before the statements for which fault returns an error.
func (s *Store) SetFault(fault func(step string) error) { s.fault = fault }

// LockClosed takes what keeps days from being closed until tx ends.
func (s *Store) LockClosed(ctx context.Context, tx *database.Tx) error {
	_, err := s.in(ctx, tx).closedUntil()
	return err
}
