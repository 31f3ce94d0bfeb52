package gateway

import "github.com/redis/go-redis/v9"

// AddHook adds a hook to the gateway's own connection to Redis. It is called
// before Start.
func (g *Gateway) AddHook(hook redis.Hook) { g.redis.AddHook(hook) }
