package store

// SetFault makes the store fail before the statements for which fault returns an error.
func (s *Store) SetFault(fault func(step string) error) { s.fault = fault }
