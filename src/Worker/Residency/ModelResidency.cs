using Ndif.Protocol;
using Ndif.Worker.Serving;


namespace Ndif.Worker.Residency;

/// <summary>What takes memory here: models on the device that serve, come or go, and those that are kept warm beside it.</summary>
internal sealed class ModelResidency
{
    private readonly Lock _lock = new();
    private readonly List<JobServingLoop> _onDevice = [], _evicting = [];
    private readonly List<ModelHost> _offloaded = []; // the one that was put there last is last
    private readonly Dictionary<string, long> _loading = []; // bytes by name

    public IReadOnlyList<JobServingLoop> OnDevice
    {
        get
        {
            lock (_lock) return [.. _onDevice];
        }
    }

    public IReadOnlyList<ModelHost> Offloaded
    {
        get
        {
            lock (_lock) return [.. _offloaded];
        }
    }

    /// <summary>Weights on the device: what comes and what has not gone yet counts.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock) return _onDevice.Sum(s => s.Host.WeightBytes) + _evicting.Sum(s => s.Host.WeightBytes) + _loading.Values.Sum();
        }
    }

    /// <summary>The model that serves jobs of this name, or null.</summary>
    public JobServingLoop? Find(string name)
    {
        lock (_lock) return _onDevice.Find(s => s.Host.Names.Contains(name, StringComparer.Ordinal));
    }

    public bool IsLoading(string name)
    {
        lock (_lock) return _loading.ContainsKey(name);
    }

    /// <summary>Keeps room for a model that is loaded.</summary>
    public void BeginLoad(string name, long bytes)
    {
        lock (_lock) _loading[name] = bytes;
    }

    /// <summary>It does not come after all.</summary>
    public void EndLoad(string name)
    {
        lock (_lock) _loading.Remove(name);
    }

    public void Add(JobServingLoop loop)
    {
        lock (_lock)
        {
            _loading.Remove(loop.Host.Name);
            _onDevice.Add(loop);
        }
    }

    /// <summary>Begins to go: false if it does so already.</summary>
    public bool TryBeginEviction(JobServingLoop loop)
    {
        lock (_lock)
        {
            if (!_onDevice.Remove(loop)) return false;
            _evicting.Add(loop);
            return true;
        }
    }

    /// <summary>It is off the device.</summary>
    public void EndEviction(JobServingLoop loop)
    {
        lock (_lock) _evicting.Remove(loop);
    }

    /// <summary>Takes a warm model out, or null.</summary>
    public ModelHost? RemoveOffloaded(string name)
    {
        lock (_lock)
        {
            ModelHost? host = _offloaded.Find(h => h.Name == name);
            if (host is not null) _offloaded.Remove(host);
            return host;
        }
    }

    /// <summary>Keeps a model warm within a bound; the ones that were put there first make room.</summary>
    /// <returns>Those that are to be disposed of.</returns>
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

    /// <summary>One line per model that is here.</summary>
    public IEnumerable<ModelStatus> GetStatuses()
    {
        lock (_lock)
        {
            return [.. _onDevice.Concat(_evicting).Select(s =>
            {
                ModelStatus status = s.Host.ToStatus(Heat.Hot);
                status.Pinned = s.IsPreloaded;
                return status;
            }), .. _offloaded.Select(h => h.ToStatus(Heat.Warm))];
        }
    }

    /// <summary>All that is on the device, for the end.</summary>
    public IReadOnlyList<JobServingLoop> OnDeviceOrEvicting
    {
        get
        {
            lock (_lock) return [.. _onDevice, .. _evicting];
        }
    }
}
