using System.Runtime.InteropServices;
using System.Security.Cryptography;
using TorchSharp;

namespace Ndif.Engine.Reuse;

/// <summary>
/// The outputs of the first decoder layers for prompts that ran before, without an edit below. The least recently used prompts are
/// dropped. Owners share nothing, so that nobody can tell from the time of a pass which prompts others use.
/// </summary>
/// <param name="maxBytes">The memory of all tensors; 0 keeps nothing. A prompt may take a quarter of it.</param>
internal sealed class LayerOutputCache(long maxBytes) : IDisposable
{
    private readonly Dictionary<(string Owner, string Prompt), LinkedListNode<Entry>> _entries = [];
    private readonly LinkedList<Entry> _byUse = []; // the most recently used first
    private long _bytes;
    private int _passCount;

    public long MaxBytes => maxBytes;

    /// <summary>
    /// Whether passes of later jobs use the cache. If not, only jobs with several traces do.
    /// </summary>
    public bool IsShared { get; init; }

    /// <summary>Begins a pass, which may use entries until <see cref="EndPass"/>. A pass may run in the middle of another.</summary>
    public void BeginPass() => _passCount++;

    /// <summary>
    /// Ends a pass. If no other one has begun, drops the prompts that have not been used for the longest time, until the rest fit.
    /// </summary>
    public void EndPass()
    {
        const int MaxPrompts = 10_000;
        if (--_passCount > 0) return;
        while (_byUse.Last is { } last && (_bytes > maxBytes || _entries.Count > MaxPrompts))
        {
            _bytes -= last.Value.ByteCount;
            _entries.Remove(last.Value.Key);
            _byUse.RemoveLast();
            last.Value.Dispose();
        }
    }

    /// <summary>The entry of a prompt, which becomes the most recently used.</summary>
    public Entry Touch(string owner, long[] ids)
    {
        var key = (owner, Convert.ToHexString(SHA256.HashData(MemoryMarshal.AsBytes<long>(ids))));
        if (_entries.TryGetValue(key, out LinkedListNode<Entry>? node)) _byUse.Remove(node);
        else _entries.Add(key, node = new LinkedListNode<Entry>(new Entry(key)));
        _byUse.AddFirst(node);
        return node.Value;
    }

    /// <summary>Adds the output of the next layer of a prompt.</summary>
    /// <param name="output">[seq, hidden]; copied.</param>
    public void Add(Entry entry, torch.Tensor output)
    {
        long bytes = output.NumberOfElements * output.ElementSize;
        if (entry.ByteCount + bytes > maxBytes / 4) return;
        entry.Add(output.clone().DetachFromDisposeScope(), bytes);
        _bytes += bytes;
    }

    public void Dispose()
    {
        foreach (Entry entry in _byUse) entry.Dispose();
        _byUse.Clear();
        _entries.Clear();
    }

    /// <summary>One prompt.</summary>
    internal sealed class Entry((string Owner, string Prompt) key) : IDisposable
    {
        private readonly List<torch.Tensor> _outputs = [];

        /// <summary>The owner, and the hash of the token ids.</summary>
        public (string Owner, string Prompt) Key => key;

        public long ByteCount { get; private set; }

        /// <summary>The outputs of the first layers, each [seq, hidden].</summary>
        public IReadOnlyList<torch.Tensor> Outputs => _outputs;

        public void Add(torch.Tensor output, long bytes)
        {
            _outputs.Add(output);
            ByteCount += bytes;
        }

        public void Dispose()
        {
            foreach (torch.Tensor output in _outputs) output.Dispose();
            _outputs.Clear();
        }
    }
}
