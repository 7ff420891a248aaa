using Google.Protobuf;
using Google.Protobuf.Collections;
using Ndif.Protocol;
using Ndif.Tokenizers;

namespace Ndif.Server.OpenAi;

/// <summary>
/// The tokenizers of models with the texts of their tokens, read from their descriptions once. A model whose files have changed is read
/// again.
/// </summary>
internal sealed class TokenizerCache
{
    private const int MaxModels = 16;

    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    private sealed record Entry(MapField<string, ByteString> Files, Lazy<TokenTextCache> Texts)
    {
        public long LastUse { get; set; }
    }

    /// <param name="name">The name under which jobs for the model are queued.</param>
    /// <exception cref="OpenAiException">The model has no tokenizer, or one that cannot be read.</exception>
    public TokenTextCache Get(string name, ModelDescription model)
    {
        if (!TokenizerFiles.HaveVocabulary(model.Files.ContainsKey))
            throw new OpenAiException(
                $"The model `{model.Id}` comes without a tokenizer, so it cannot complete texts.", "model", "bad_tokenizer");
        try
        {
            return GetEntry(name, model).Texts.Value; // read outside of the lock, which is for all models
        }
        catch (TokenizerFormatException damaged)
        {
            throw new OpenAiException(
                $"The tokenizer of the model `{model.Id}` cannot be read: {damaged.Message}", "model", "bad_tokenizer");
        }
    }

    private Entry GetEntry(string name, ModelDescription model)
    {
        lock (_entries)
        {
            if (!_entries.TryGetValue(name, out Entry? entry) || !entry.Files.Equals(model.Files))
            {
                if (_entries.Count >= MaxModels && !_entries.ContainsKey(name))
                    _entries.Remove(_entries.MinBy(each => each.Value.LastUse).Key);
                _entries[name] = entry = new Entry(model.Files, new Lazy<TokenTextCache>(() => new TokenTextCache(
                    HuggingFaceTokenizer.FromFiles(model.Files.ToDictionary(file => file.Key, file => file.Value.Memory)))));
            }
            entry.LastUse = Environment.TickCount64;
            return entry;
        }
    }
}
