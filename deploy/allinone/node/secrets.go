package node

import (
	"fmt"

	"mscoin/deploy/internal/private"
)

// secrets are made at the first start and kept in the data folder, readable by
// its owner only. There are no defaults that could be forgotten.
type secrets struct {
	// InternalToken lets the services trust each other.
	InternalToken string `json:"internalToken"`
	// AdminToken opens the operator's API (header X-Admin-Token).
	AdminToken string `json:"adminToken"`
	// SessionKey signs access tokens.
	SessionKey string `json:"sessionKey"`
	// MasterKey encrypts API secrets at rest: 32 bytes, hex.
	MasterKey string `json:"masterKey"`
	// CustodyToken opens the simulated chain and its controls.
	CustodyToken string `json:"custodyToken"`
}

func loadSecrets(path string) (secrets, error) {
	var s secrets
	found, err := private.ReadJSON(path, &s)
	if err != nil {
		return s, fmt.Errorf("load secrets: %w", err)
	}
	if !found {
		s = secrets{InternalToken: private.RandomHex(32), AdminToken: private.RandomHex(32), SessionKey: private.RandomHex(32), MasterKey: private.RandomHex(32)}
	}
	if s.CustodyToken == "" { // also in a folder that is older than the custody
		s.CustodyToken = private.RandomHex(32)
		if err := private.WriteJSON(path, s); err != nil {
			return s, fmt.Errorf("keep secrets: %w", err)
		}
	}
	if s.InternalToken == "" || s.AdminToken == "" || s.SessionKey == "" || s.MasterKey == "" {
		return s, fmt.Errorf("%s is incomplete: restore it from a backup; without the master key no API secret can be read", path)
	}
	return s, nil
}
