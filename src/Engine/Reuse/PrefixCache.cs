namespace Ndif.Engine.Reuse;

/// <summary>
/// The outputs, keys and values of all layers for the tokens of prompts that ran before. A later pass uses those of the first tokens that
/// its prompt shares with one of them (automatic prefix caching in vLLM). Owners share nothing, so that nobody can tell from the time of a
/// pass which prompts others use. Where there are too many, the owner that has the most loses its least recently used prompts, so that no
/// owner loses its share because of others.
/// </summary>
/// <param name="maxBytes">The memory of all tensors; 0 keeps nothing. A prompt may take a quarter of it.</param>
internal sealed class PrefixCache(long maxBytes) : IDisposable
{
    /// <summary>Prompts that share fewer tokens are not found.</summary>
    private const int BlockSize = 8;

    private const int MaxPrompts = 10_000;

    private readonly Dictionary<(string Owner, int Hash), LinkedListNode<CachedPrompt>> _prompts = [];
    private readonly Dictionary<(string Owner, int Hash), CachedPrompt> _blocks = []; // by the hash of all tokens up to its end
    private readonly Dictionary<string, OwnerPrompts> _owners = [];
    private long _bytes;
    private int _passCount, _promptCount;

    public long MaxBytes => maxBytes;

    /// <summary>
    /// Whether passes of later jobs use the cache. If not, only jobs with several traces do.
    /// </summary>
    public bool IsShared { get; init; }

    /// <summary>Begins a pass, which may use prompts until <see cref="EndPass"/>. A pass may run in the middle of another.</summary>
    public void BeginPass() => _passCount++;

    /// <summary>
    /// Ends a pass. If no other one has begun, drops prompts until the rest fit.
    /// </summary>
    public void EndPass()
    {
        if (--_passCount > 0) return;
        while (_bytes > maxBytes) RemoveLeastRecent(_owners.Values.MaxBy(owner => owner.Bytes)!);
        while (_promptCount > MaxPrompts) RemoveLeastRecent(_owners.Values.MaxBy(owner => owner.ByUse.Count)!);
    }

    /// <summary>The entry of a prompt, which becomes the most recently used.</summary>
    public CachedPrompt Touch(string owner, long[] ids, int numLayers)
    {
        var key = (owner, Hash(0, ids));
        LinkedListNode<CachedPrompt>? node = _prompts.GetValueOrDefault(key);
        if (node is not null && node.Value.Ids.AsSpan().SequenceEqual(ids)) node.List!.Remove(node);
        else
        {
            _prompts[key] = node = new LinkedListNode<CachedPrompt>(new CachedPrompt(owner, ids, numLayers));
            _promptCount++;
        }
        if (!_owners.TryGetValue(owner, out OwnerPrompts? prompts)) _owners[owner] = prompts = new OwnerPrompts();
        prompts.ByUse.AddFirst(node);
        return node.Value;
    }

    /// <summary>A prompt all of whose layers are known for the most of these tokens; null if none shares the first few.</summary>
    public CachedPrompt? FindLongestPrefix(string owner, ReadOnlySpan<long> ids)
    {
        CachedPrompt? longest = null;
        for (int start = 0, hash = 0; start + BlockSize <= ids.Length; start += BlockSize)
        {
            hash = Hash(hash, ids.Slice(start, BlockSize));
            if (!_blocks.TryGetValue((owner, hash), out CachedPrompt? prompt)) break;
            longest = prompt;
        }
        return longest;
    }

    /// <summary>Adds the first tokens of a prompt in a layer, in place of fewer; drops them if the prompt takes too much memory.</summary>
    /// <param name="tokens">Owned by the cache.</param>
    public void Add(CachedPrompt prompt, int layer, CachedTokens tokens)
    {
        long added = tokens.ByteCount - (prompt[layer]?.ByteCount ?? 0);
        if (prompt.ByteCount + added > maxBytes / 4)
        {
            tokens.Dispose();
            return;
        }
        prompt[layer] = tokens;
        _bytes += added;
        _owners[prompt.Owner].Bytes += added;
        if (layer < prompt.NumLayers - 1) return;
        foreach (int hash in BlockHashes(prompt.Ids.AsSpan(0, tokens.Count))) _blocks[(prompt.Owner, hash)] = prompt;
    }

    public void Dispose()
    {
        foreach (CachedPrompt prompt in _owners.Values.SelectMany(owner => owner.ByUse)) prompt.Dispose();
        _owners.Clear();
        _prompts.Clear();
        _blocks.Clear();
    }

    private void RemoveLeastRecent(OwnerPrompts owner)
    {
        LinkedListNode<CachedPrompt> node = owner.ByUse.Last!;
        CachedPrompt prompt = node.Value;
        long bytes = prompt.ByteCount;
        _bytes -= bytes;
        owner.Bytes -= bytes;
        owner.ByUse.Remove(node);
        _promptCount--;
        if (owner.ByUse.Count == 0) _owners.Remove(prompt.Owner);
        var key = (prompt.Owner, Hash(0, prompt.Ids));
        if (_prompts.GetValueOrDefault(key) == node) _prompts.Remove(key);
        foreach (int hash in BlockHashes(prompt.Ids))
            if (_blocks.GetValueOrDefault((prompt.Owner, hash)) == prompt) _blocks.Remove((prompt.Owner, hash));
        prompt.Dispose();
    }

    private static List<int> BlockHashes(ReadOnlySpan<long> ids)
    {
        List<int> hashes = [];
        for (int start = 0; start + BlockSize <= ids.Length; start += BlockSize)
            hashes.Add(Hash(hashes.Count == 0 ? 0 : hashes[^1], ids.Slice(start, BlockSize)));
        return hashes;
    }

    private static int Hash(int previous, ReadOnlySpan<long> ids)
    {
        HashCode hash = new();
        hash.Add(previous);
        foreach (long id in ids) hash.Add(id);
        return hash.ToHashCode();
    }

    /// <summary>The prompts of an owner.</summary>
    private sealed class OwnerPrompts
    {
        /// <summary>The most recently used first.</summary>
        public LinkedList<CachedPrompt> ByUse { get; } = [];

        public long Bytes { get; set; }
    }
}
