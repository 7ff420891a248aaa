using System.Text.Json;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>The tokens of a model, without added tokens, by id and by text.</summary>
internal sealed class Vocabulary
{
    /// <summary>The length limit of a token in chars. Longer tokens make each look-up expensive, and no known model has one.</summary>
    public const int MaxTokenLength = 1024;

    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _idsBySpan;
    private readonly Dictionary<int, string> _tokens;

    public Vocabulary(int capacity)
    {
        _ids = new Dictionary<string, int>(capacity, StringComparer.Ordinal);
        _idsBySpan = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
        _tokens = new Dictionary<int, string>(capacity);
    }

    /// <summary>Reads <c>{"token": id, ...}</c>.</summary>
    public static Vocabulary Read(JsonSection section)
    {
        if (section.ValueKind != JsonValueKind.Object) throw section.CreateException("an object of tokens and their ids is expected");
        var vocabulary = new Vocabulary(section.Value.GetPropertyCount());
        foreach (var entry in section.Value.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt32(out int id) || id < 0)
                throw section.CreateException($"the id of '{entry.Name}' is not a whole number from 0 to {int.MaxValue}");
            string token = entry.Name;
            if (token.Length > MaxTokenLength)
                throw section.CreateException($"the token of id {id} has {token.Length} characters; the limit is {MaxTokenLength}");
            vocabulary.Add(token, id);
        }
        return vocabulary;
    }

    /// <summary>The number of tokens, or the number of ids if several ids have the same token.</summary>
    public int Count => Math.Max(_ids.Count, _tokens.Count);

    public IEnumerable<string> Tokens => _ids.Keys;

    public void Add(string token, int id)
    {
        _ids[token] = id;
        _tokens[id] = token;
    }

    public int? IdOf(ReadOnlySpan<char> token) => _idsBySpan.TryGetValue(token, out int id) ? id : null;

    public string? TokenOf(int id) => _tokens.GetValueOrDefault(id);

    /// <summary>The ids of the byte tokens <c>&lt;0x00&gt;</c> to <c>&lt;0xFF&gt;</c>; -1 for a token that the vocabulary lacks.</summary>
    public int[] ByteIds() => [.. Enumerable.Range(0, 256).Select(b => IdOf($"<0x{b:X2}>") ?? -1)];
}
