using Ndif.Protocol;

namespace Ndif.Worker;

/// <summary>What takes memory here: models on the device that serve, come or go, and those that are kept warm beside it.</summary>
internal sealed class Residents
{
    private readonly Lock _gate = new();
    private readonly List<Serving> _hot = [], _leaving = [];
    private readonly List<ModelHost> _warm = []; // the one that was put there last is last
    private readonly Dictionary<string, long> _coming = []; // bytes by name

    public IReadOnlyList<Serving> Hot
    {
        get
        {
            lock (_gate) return [.. _hot];
        }
    }

    public IReadOnlyList<ModelHost> Warm
    {
        get
        {
            lock (_gate) return [.. _warm];
        }
    }

    /// <summary>Weights on the device: what comes and what has not gone yet counts.</summary>
    public long Bytes
    {
        get
        {
            lock (_gate) return _hot.Sum(s => s.Host.Bytes) + _leaving.Sum(s => s.Host.Bytes) + _coming.Values.Sum();
        }
    }

    /// <summary>The model that serves jobs of this name, or null.</summary>
    public Serving? Find(string name)
    {
        lock (_gate) return _hot.Find(s => s.Host.Names.Contains(name, StringComparer.Ordinal));
    }

    public bool IsComing(string name)
    {
        lock (_gate) return _coming.ContainsKey(name);
    }

    /// <summary>Keeps room for a model that is loaded.</summary>
    public void Expect(string name, long bytes)
    {
        lock (_gate) _coming[name] = bytes;
    }

    /// <summary>It does not come after all.</summary>
    public void Abandon(string name)
    {
        lock (_gate) _coming.Remove(name);
    }

    public void Add(Serving serving)
    {
        lock (_gate)
        {
            _coming.Remove(serving.Host.Name);
            _hot.Add(serving);
        }
    }

    /// <summary>Begins to go: false if it does so already.</summary>
    public bool Leave(Serving serving)
    {
        lock (_gate)
        {
            if (!_hot.Remove(serving)) return false;
            _leaving.Add(serving);
            return true;
        }
    }

    /// <summary>It is off the device.</summary>
    public void Left(Serving serving)
    {
        lock (_gate) _leaving.Remove(serving);
    }

    /// <summary>Takes a warm model out, or null.</summary>
    public ModelHost? TakeWarm(string name)
    {
        lock (_gate)
        {
            ModelHost? host = _warm.Find(h => h.Name == name);
            if (host is not null) _warm.Remove(host);
            return host;
        }
    }

    /// <summary>Keeps a model warm within a bound; the ones that were put there first make room.</summary>
    /// <returns>Those that are to be disposed of.</returns>
    public IReadOnlyList<ModelHost> PutWarm(ModelHost host, long budget)
    {
        lock (_gate)
        {
            if (host.Bytes > budget) return [host];
            List<ModelHost> gone = [];
            while (_warm.Sum(h => h.Bytes) + host.Bytes > budget)
            {
                gone.Add(_warm[0]);
                _warm.RemoveAt(0);
            }
            _warm.Add(host);
            return gone;
        }
    }

    /// <summary>One line per model that is here.</summary>
    public IEnumerable<ModelStatus> Statuses()
    {
        lock (_gate)
        {
            return [.. _hot.Concat(_leaving).Select(s =>
            {
                ModelStatus status = s.Host.StatusAs(Heat.Hot);
                status.Pinned = s.IsFixed;
                return status;
            }), .. _warm.Select(h => h.StatusAs(Heat.Warm))];
        }
    }

    /// <summary>All that is on the device, for the end.</summary>
    public IReadOnlyList<Serving> All
    {
        get
        {
            lock (_gate) return [.. _hot, .. _leaving];
        }
    }
}
