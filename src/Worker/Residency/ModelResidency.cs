using Ndif.Protocol;
using Ndif.Worker.Serving;

namespace Ndif.Worker.Residency;

/// <summary>The models in the memory of this worker: on the device (serving, loading or evicting), and offloaded to host memory.</summary>
internal sealed class ModelResidency
{
    private readonly Lock _lock = new();
    private readonly List<JobServingLoop> _onDevice = [], _evicting = [];
    private readonly List<ModelHost> _offloaded = []; // in the order in which they were offloaded
    private readonly Dictionary<string, long> _loading = []; // bytes by name

    /// <summary>The models that serve jobs.</summary>
    public IReadOnlyList<JobServingLoop> OnDevice
    {
        get
        {
            lock (_lock) return [.. _onDevice];
        }
    }

    /// <summary>The models in host memory.</summary>
    public IReadOnlyList<ModelHost> Offloaded
    {
        get
        {
            lock (_lock) return [.. _offloaded];
        }
    }

    /// <summary>The bytes of weights on the device, including models that are loading or being evicted.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock) return _onDevice.Concat(_evicting).Sum(loop => loop.Host.WeightBytes) + _loading.Values.Sum();
        }
    }

    /// <summary>Returns the model that serves jobs of this name, or null.</summary>
    public JobServingLoop? Find(string name)
    {
        lock (_lock) return _onDevice.Find(loop => loop.Host.Names.Contains(name, StringComparer.Ordinal));
    }

    public bool IsLoading(string name)
    {
        lock (_lock) return _loading.ContainsKey(name);
    }

    /// <summary>Reserves memory for a model that is being loaded.</summary>
    public void BeginLoad(string name, long bytes)
    {
        lock (_lock) _loading[name] = bytes;
    }

    /// <summary>Releases the reservation of a model whose load has ended or failed.</summary>
    public void EndLoad(string name)
    {
        lock (_lock) _loading.Remove(name);
    }

    /// <summary>Adds a loaded model, in place of its reservation.</summary>
    public void Add(JobServingLoop loop)
    {
        lock (_lock)
        {
            _loading.Remove(loop.Host.Name);
            _onDevice.Add(loop);
        }
    }

    /// <summary>Marks a model as being evicted. Returns false if it already is.</summary>
    public bool TryBeginEviction(JobServingLoop loop)
    {
        lock (_lock)
        {
            if (!_onDevice.Remove(loop)) return false;
            _evicting.Add(loop);
            return true;
        }
    }

    /// <summary>Removes a model whose eviction has ended.</summary>
    public void EndEviction(JobServingLoop loop)
    {
        lock (_lock) _evicting.Remove(loop);
    }

    /// <summary>Removes and returns an offloaded model, or returns null.</summary>
    public ModelHost? RemoveOffloaded(string name)
    {
        lock (_lock)
        {
            ModelHost? host = _offloaded.Find(h => h.Name == name);
            if (host is not null) _offloaded.Remove(host);
            return host;
        }
    }

    /// <summary>Adds an offloaded model. If the limit is exceeded, removes the models that were offloaded first.</summary>
    /// <returns>The models that were removed; the caller disposes them.</returns>
    public IReadOnlyList<ModelHost> AddOffloaded(ModelHost host, long maxBytes)
    {
        lock (_lock)
        {
            if (host.WeightBytes > maxBytes) return [host];
            List<ModelHost> displaced = [];
            while (_offloaded.Sum(h => h.WeightBytes) + host.WeightBytes > maxBytes)
            {
                displaced.Add(_offloaded[0]);
                _offloaded.RemoveAt(0);
            }
            _offloaded.Add(host);
            return displaced;
        }
    }

    /// <summary>Returns the status of each model in memory.</summary>
    public IEnumerable<ModelStatus> GetStatuses()
    {
        lock (_lock)
        {
            return [.. _onDevice.Concat(_evicting).Select(loop =>
            {
                ModelStatus status = loop.Host.ToStatus(Heat.Hot);
                status.Pinned = loop.IsPreloaded;
                return status;
            }), .. _offloaded.Select(host => host.ToStatus(Heat.Warm))];
        }
    }

    /// <summary>All models on the device, including those that are being evicted.</summary>
    public IReadOnlyList<JobServingLoop> OnDeviceOrEvicting
    {
        get
        {
            lock (_lock) return [.. _onDevice, .. _evicting];
        }
    }
}
