using Ndif.Queue.Redis;
using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>Exports the state of Redis as this gateway sees it. While Redis cannot be reached, only that is reported.</summary>
internal sealed class RedisMetrics
{
    private readonly RedisMonitor _monitor;
    private readonly Gauge _connected, _latency, _usedMemory, _maxMemory, _evictedKeys;

    public RedisMetrics(CollectorRegistry registry, MetricFactory metrics, RedisMonitor monitor)
    {
        _monitor = monitor;
        var options = new GaugeConfiguration { SuppressInitialValue = true };
        _connected = metrics.CreateGauge("ndif_redis_connected", "1 if this process reaches Redis, else 0.");
        _latency = metrics.CreateGauge("ndif_redis_latency_seconds", "The round trip of one command.", options);
        _usedMemory = metrics.CreateGauge("ndif_redis_used_memory_bytes", "The memory that Redis uses.", options);
        _maxMemory = metrics.CreateGauge("ndif_redis_max_memory_bytes", "The maxmemory of Redis; 0 for none.", options);
        _evictedKeys = metrics.CreateGauge("ndif_redis_evicted_keys", "Keys that Redis has evicted since it started.", options);
        registry.AddBeforeCollectCallback(UpdateAsync);
    }

    private async Task UpdateAsync(CancellationToken cancellationToken)
    {
        RedisReading? reading = await _monitor.ReadAsync(cancellationToken);
        _connected.Set(reading is null ? 0 : 1);
        if (reading is null)
        {
            foreach (Gauge gauge in (Gauge[])[_latency, _usedMemory, _maxMemory, _evictedKeys]) gauge.Unpublish();
            return;
        }
        _latency.Set(reading.Latency.TotalSeconds);
        _usedMemory.Set(reading.UsedMemory);
        _maxMemory.Set(reading.MaxMemory);
        _evictedKeys.Set(reading.EvictedKeys);
    }
}
