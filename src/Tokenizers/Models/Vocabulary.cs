using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>A model's own tokens, both ways.</summary>
internal sealed class Vocabulary
{
    /// <summary>Longer tokens are refused: they make each look-up costly, and no model has one.</summary>
    public const int MaxTokenLength = 1024;

    readonly Dictionary<string, int> _ids;
    readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _idsBySpan;
    readonly Dictionary<int, string> _tokens;

    public Vocabulary(int capacity)
    {
        _ids = new Dictionary<string, int>(capacity, StringComparer.Ordinal);
        _idsBySpan = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
        _tokens = new Dictionary<int, string>(capacity);
    }

    /// <summary>Reads <c>{"token": id, ...}</c>.</summary>
    public static Vocabulary Read(JsonPart part)
    {
        if (part.ValueKind != System.Text.Json.JsonValueKind.Object) throw part.CreateException("an object of tokens and their ids is expected");
        var vocabulary = new Vocabulary(part.Value.GetPropertyCount());
        foreach (var entry in part.Value.EnumerateObject())
        {
            if (entry.Value.ValueKind != System.Text.Json.JsonValueKind.Number || !entry.Value.TryGetInt32(out int id) || id < 0)
                throw part.CreateException($"the id of '{entry.Name}' is not a whole number from 0 to {int.MaxValue}");
            string token = entry.Name;
            if (token.Length > MaxTokenLength)
                throw part.CreateException($"the token of id {id} has {token.Length} characters; the limit is {MaxTokenLength}");
            vocabulary.Add(token, id);
        }
        return vocabulary;
    }

    public int Count => Math.Max(_ids.Count, _tokens.Count);

    public IEnumerable<string> Tokens => _ids.Keys;

    public void Add(string token, int id)
    {
        _ids[token] = id;
        _tokens[id] = token;
    }

    public int? IdOf(ReadOnlySpan<char> token) => _idsBySpan.TryGetValue(token, out int id) ? id : null;

    public string? TokenOf(int id) => _tokens.GetValueOrDefault(id);

    /// <summary>The ids of <c>&lt;0x00&gt;</c> to <c>&lt;0xFF&gt;</c>, -1 for what is missing.</summary>
    public int[] ByteIds() => [.. Enumerable.Range(0, 256).Select(b => IdOf($"<0x{b:X2}>") ?? -1)];
}
