package bus

// BreakConnection closes the connection under the subscription, as a network would.
func (s *Subscription) BreakConnection() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.close()
}

// Connected reports whether there is a connection.
func (s *Subscription) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

// DecodeRecords is decodeRecords, for fuzzing.
func DecodeRecords(set []byte, from int64) ([]Message, error) {
	return decodeRecords(nil, set, "t", 0, from)
}

// ParseFetchResponse is parseFetchResponse, for fuzzing.
func ParseFetchResponse(frame []byte) error {
	_, err := parseFetchResponse(frame, 0)
	return err
}

// ParseDeleteResponse is parseDeleteResponse, for fuzzing.
func ParseDeleteResponse(frame []byte) error {
	_, err := parseDeleteResponse(frame, 0)
	return err
}
