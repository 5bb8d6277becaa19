package database

import (
	"context"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"gorm.io/gorm/logger"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/telemetry"
)

// slowQuery is when a statement is worth a line in the log.
const slowQuery = 500 * time.Millisecond

// queryLog is GORM's logger. It writes slow statements, with placeholders instead of
// values: balances, hashes and addresses stay out of the log. Errors are returned to
// the caller, who knows whether they matter, and not logged here.
type queryLog struct {
	clk clock.Clock
}

var (
	_ logger.Interface = (*queryLog)(nil)
	_ interface {
		ParamsFilter(ctx context.Context, sql string, params ...any) (string, []any)
	} = (*queryLog)(nil)
)

// LogMode returns the logger: there is one level.
func (l *queryLog) LogMode(logger.LogLevel) logger.Interface { return l }

// Info drops GORM's chatter.
func (l *queryLog) Info(context.Context, string, ...any) {}

// Warn writes GORM's warnings about the use of its API.
func (l *queryLog) Warn(ctx context.Context, format string, _ ...any) {
	logx.WithContext(ctx).Slowf("gorm: %s", format)
}

// Error writes GORM's complaints about the use of its API. Their arguments may hold
// values, so only the format is written.
func (l *queryLog) Error(ctx context.Context, format string, _ ...any) {
	logx.WithContext(ctx).Errorf("gorm: %s", format)
}

// Trace writes a statement that took long, and counts one whose connection broke: reads
// outside a transaction are counted nowhere else.
func (l *queryLog) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	if err != nil && ctx.Err() == nil && isConnectionLost(err) {
		telemetry.DatabaseError("connection")
	}
	took := l.clk.Now().Sub(begin)
	if took < slowQuery {
		return
	}
	sql, rows := statement()
	logx.WithContext(ctx).Sloww("slow statement",
		logx.Field("sql", sql), logx.Field("rows", rows), logx.Field("tookMs", took.Milliseconds()))
}

// ParamsFilter keeps the values out of the statement that Trace sees.
func (l *queryLog) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}

// driverLog is the MySQL driver's logger: broken connections, mostly idle ones.
type driverLog struct{}

// Print writes a message of the driver.
func (driverLog) Print(v ...any) { logx.Infof("mysql driver: %s", fmt.Sprint(v...)) }
