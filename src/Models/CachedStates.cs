using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// The states of one layer of one row, which have no token dimension: the window of a convolution, the state of a recurrence. A pass sets
/// new ones; they replace the old ones when the pass ends, so that a pass that was stopped can run again.
/// </summary>
internal sealed class CachedStates : IDisposable
{
    private readonly List<Tensor?> _current = [], _next = [];

    /// <summary>The number of tokens that the states have seen, with the padding of the pass over the prompts.</summary>
    public long Length { get; private set; }

    public long ByteCount => _current.Sum(state => state is null ? 0 : state.NumberOfElements * state.ElementSize);

    /// <summary>A state after the cached tokens; null before the first pass.</summary>
    public Tensor? this[int index] => index < _current.Count ? _current[index] : null;

    public void Set(int index, Tensor value)
    {
        using var noGrad = no_grad();
        while (_next.Count <= index) _next.Add(null);
        _next[index]?.Dispose();
        _next[index] = value.clone().DetachFromDisposeScope();
    }

    /// <summary>Replaces the states by those of the pass that ends, if the layer has run in it.</summary>
    /// <param name="length">The tokens that are cached after it.</param>
    public void Commit(long length)
    {
        if (_next.Count == 0) return;
        foreach (Tensor? state in _current) state?.Dispose();
        _current.Clear();
        _current.AddRange(_next);
        _next.Clear();
        Length = length;
    }

    public CachedStates Clone()
    {
        using var noGrad = no_grad();
        var clone = new CachedStates { Length = Length };
        clone._current.AddRange(_current.Select(state => state?.clone().DetachFromDisposeScope()));
        return clone;
    }

    public void Dispose()
    {
        foreach (Tensor? state in _current.Concat(_next)) state?.Dispose();
        _current.Clear();
        _next.Clear();
    }
}
