// Package server is ucenter's gRPC side: it turns requests into calls of the use cases
// and their results into responses.
package server

import (
	"context"

	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/member"
)

// Server implements ucenterpb.UcenterServiceServer.
type Server struct {
	ucenterpb.UnimplementedUcenterServiceServer

	app *app.App
}

// New returns the gRPC side of the use cases.
func New(a *app.App) *Server { return &Server{app: a} }

// SendVerificationCode sends a code to a contact.
func (s *Server) SendVerificationCode(ctx context.Context, req *ucenterpb.SendVerificationCodeRequest) (*ucenterpb.SendVerificationCodeResponse, error) {
	if err := s.app.SendVerificationCode(ctx, contactType(req.GetContactType()), req.GetContact(), req.GetClientIp()); err != nil {
		return nil, err
	}
	return &ucenterpb.SendVerificationCodeResponse{}, nil
}

// Register makes a member of somebody who has received a code.
func (s *Server) Register(ctx context.Context, req *ucenterpb.RegisterRequest) (*ucenterpb.RegisterResponse, error) {
	m, err := s.app.Register(ctx, app.Registration{
		Type: contactType(req.GetContactType()), Contact: req.GetContact(), Code: req.GetCode(),
		Password: req.GetPassword(), Username: req.GetUsername(), ClientIP: req.GetClientIp(),
	})
	if err != nil {
		return nil, err
	}
	return &ucenterpb.RegisterResponse{Member: memberPB(m)}, nil
}

// CreateMember makes a member without a code.
func (s *Server) CreateMember(ctx context.Context, req *ucenterpb.CreateMemberRequest) (*ucenterpb.CreateMemberResponse, error) {
	m, err := s.app.CreateMember(ctx, req.GetEmail(), req.GetPassword(), req.GetUsername())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.CreateMemberResponse{Member: memberPB(m)}, nil
}

// Login opens a session.
func (s *Server) Login(ctx context.Context, req *ucenterpb.LoginRequest) (*ucenterpb.LoginResponse, error) {
	m, tokens, err := s.app.Login(ctx, req.GetContact(), req.GetPassword(), req.GetClientIp())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.LoginResponse{Member: memberPB(m), Session: sessionPB(tokens)}, nil
}

// RefreshSession exchanges a refresh token.
func (s *Server) RefreshSession(ctx context.Context, req *ucenterpb.RefreshSessionRequest) (*ucenterpb.RefreshSessionResponse, error) {
	tokens, err := s.app.RefreshSession(ctx, req.GetRefreshToken())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.RefreshSessionResponse{Session: sessionPB(tokens)}, nil
}

// Logout ends a session.
func (s *Server) Logout(ctx context.Context, req *ucenterpb.LogoutRequest) (*ucenterpb.LogoutResponse, error) {
	if err := s.app.Logout(ctx, req.GetAccessToken()); err != nil {
		return nil, err
	}
	return &ucenterpb.LogoutResponse{}, nil
}

// VerifySession tells whose an access token is.
func (s *Server) VerifySession(ctx context.Context, req *ucenterpb.VerifySessionRequest) (*ucenterpb.VerifySessionResponse, error) {
	id, err := s.app.VerifySession(ctx, req.GetAccessToken())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.VerifySessionResponse{MemberId: id}, nil
}

// CreateApiKey makes an API key.
//
//nolint:revive // named by the protocol
func (s *Server) CreateApiKey(ctx context.Context, req *ucenterpb.CreateApiKeyRequest) (*ucenterpb.CreateApiKeyResponse, error) {
	k, plain, err := s.app.CreateAPIKey(ctx, req.GetMemberId(), req.GetLabel(), permissions(req.GetPermissions()), req.GetIpList())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.CreateApiKeyResponse{ApiKey: apiKeyPB(k), Secret: plain}, nil
}

// ListApiKeys lists API keys.
//
//nolint:revive // named by the protocol
func (s *Server) ListApiKeys(ctx context.Context, req *ucenterpb.ListApiKeysRequest) (*ucenterpb.ListApiKeysResponse, error) {
	keys, err := s.app.APIKeys(ctx, req.GetMemberId())
	if err != nil {
		return nil, err
	}
	res := &ucenterpb.ListApiKeysResponse{ApiKeys: make([]*ucenterpb.ApiKey, len(keys))}
	for i, k := range keys {
		res.ApiKeys[i] = apiKeyPB(k)
	}
	return res, nil
}

// DeleteApiKey deletes an API key.
//
//nolint:revive // named by the protocol
func (s *Server) DeleteApiKey(ctx context.Context, req *ucenterpb.DeleteApiKeyRequest) (*ucenterpb.DeleteApiKeyResponse, error) {
	if err := s.app.DeleteAPIKey(ctx, req.GetMemberId(), req.GetKey()); err != nil {
		return nil, err
	}
	return &ucenterpb.DeleteApiKeyResponse{}, nil
}

// VerifySignature tells whose a signed request is.
func (s *Server) VerifySignature(ctx context.Context, req *ucenterpb.VerifySignatureRequest) (*ucenterpb.VerifySignatureResponse, error) {
	id, err := s.app.VerifySignature(ctx, app.SignedRequest{
		Key: req.GetKey(), Payload: req.GetPayload(), Signature: req.GetSignature(),
		ClientIP: req.GetClientIp(), Permission: permission(req.GetPermission()),
	})
	if err != nil {
		return nil, err
	}
	return &ucenterpb.VerifySignatureResponse{MemberId: id}, nil
}

// GetMember returns a member.
func (s *Server) GetMember(ctx context.Context, req *ucenterpb.GetMemberRequest) (*ucenterpb.GetMemberResponse, error) {
	m, err := s.app.GetMember(ctx, req.GetMemberId())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.GetMemberResponse{Member: memberPB(m)}, nil
}

func memberPB(m app.Member) *ucenterpb.Member {
	return &ucenterpb.Member{MemberId: m.ID, Email: m.Email, Phone: m.Phone, Username: m.Username, CreateTimeMs: m.CreatedMs}
}

func sessionPB(t app.Tokens) *ucenterpb.Session {
	return &ucenterpb.Session{
		AccessToken: t.Access, AccessExpireTimeMs: t.AccessExpiresMs,
		RefreshToken: t.Refresh, RefreshExpireTimeMs: t.RefreshExpiresMs,
	}
}

func apiKeyPB(k app.APIKey) *ucenterpb.ApiKey {
	res := &ucenterpb.ApiKey{Key: k.Key, Label: k.Label, IpList: k.IPs.Strings(), CreateTimeMs: k.CreatedMs}
	for _, p := range k.Permissions.List() {
		res.Permissions = append(res.Permissions, permissionPB(p))
	}
	return res
}

// contactType returns 0, which is refused, for a value this version does not know.
func contactType(t ucenterpb.ContactType) member.ContactType {
	switch t {
	case ucenterpb.ContactType_CONTACT_TYPE_EMAIL:
		return member.Email
	case ucenterpb.ContactType_CONTACT_TYPE_PHONE:
		return member.Phone
	case ucenterpb.ContactType_CONTACT_TYPE_UNSPECIFIED:
	}
	return 0
}

// permission returns 0, which is refused, for a value this version does not know.
func permission(p ucenterpb.Permission) member.Permission {
	switch p {
	case ucenterpb.Permission_PERMISSION_READ:
		return member.Read
	case ucenterpb.Permission_PERMISSION_TRADE:
		return member.Trade
	case ucenterpb.Permission_PERMISSION_WITHDRAW:
		return member.Withdraw
	case ucenterpb.Permission_PERMISSION_UNSPECIFIED:
	}
	return 0
}

func permissions(list []ucenterpb.Permission) []member.Permission {
	res := make([]member.Permission, len(list))
	for i, p := range list {
		res[i] = permission(p)
	}
	return res
}

func permissionPB(p member.Permission) ucenterpb.Permission {
	switch p {
	case member.Read:
		return ucenterpb.Permission_PERMISSION_READ
	case member.Trade:
		return ucenterpb.Permission_PERMISSION_TRADE
	case member.Withdraw:
		return ucenterpb.Permission_PERMISSION_WITHDRAW
	}
	return ucenterpb.Permission_PERMISSION_UNSPECIFIED
}
