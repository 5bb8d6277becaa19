package server

import (
	"context"

	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
)

// GetTwoFactor tells whether a member has a second factor.
func (s *Server) GetTwoFactor(ctx context.Context, req *ucenterpb.GetTwoFactorRequest) (*ucenterpb.GetTwoFactorResponse, error) {
	enabled, err := s.app.HasTwoFactor(ctx, req.GetMemberId())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.GetTwoFactorResponse{Enabled: enabled}, nil
}

// EnrollTwoFactor makes a secret for a second factor.
func (s *Server) EnrollTwoFactor(ctx context.Context, req *ucenterpb.EnrollTwoFactorRequest) (*ucenterpb.EnrollTwoFactorResponse, error) {
	text, uri, err := s.app.EnrollTwoFactor(ctx, req.GetMemberId())
	if err != nil {
		return nil, err
	}
	return &ucenterpb.EnrollTwoFactorResponse{Secret: text, Uri: uri}, nil
}

// ConfirmTwoFactor turns the second factor on.
func (s *Server) ConfirmTwoFactor(ctx context.Context, req *ucenterpb.ConfirmTwoFactorRequest) (*ucenterpb.ConfirmTwoFactorResponse, error) {
	if err := s.app.ConfirmTwoFactor(ctx, req.GetMemberId(), req.GetCode()); err != nil {
		return nil, err
	}
	return &ucenterpb.ConfirmTwoFactorResponse{}, nil
}

// DisableTwoFactor turns the second factor off.
func (s *Server) DisableTwoFactor(ctx context.Context, req *ucenterpb.DisableTwoFactorRequest) (*ucenterpb.DisableTwoFactorResponse, error) {
	if err := s.app.DisableTwoFactor(ctx, req.GetMemberId(), req.GetCode()); err != nil {
		return nil, err
	}
	return &ucenterpb.DisableTwoFactorResponse{}, nil
}

// VerifyTwoFactor checks a code of the second factor.
func (s *Server) VerifyTwoFactor(ctx context.Context, req *ucenterpb.VerifyTwoFactorRequest) (*ucenterpb.VerifyTwoFactorResponse, error) {
	if err := s.app.VerifyTwoFactor(ctx, req.GetMemberId(), req.GetCode(), req.GetPurpose()); err != nil {
		return nil, err
	}
	return &ucenterpb.VerifyTwoFactorResponse{}, nil
}
