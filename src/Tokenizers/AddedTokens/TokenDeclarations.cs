using System.Text.Json;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.AddedTokens;

/// <summary>
/// The special and added tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json declare beside
/// tokenizer.json: the tokens of a role, such as <c>eos_token</c>, and tokens without a role.
/// </summary>
/// <remarks>transformers 5, tokenization_utils_base.py, _from_pretrained, and tokenization_utils_tokenizers.py, TokenizersBackend</remarks>
internal sealed class TokenDeclarations
{
    private static readonly string[] _roles =
        ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

    private readonly Dictionary<string, AddedToken> _byRole = new(StringComparer.Ordinal);
    private readonly List<string> _roleOrder = [.. _roles];
    private readonly SortedDictionary<int, AddedToken> _byId = [];
    private readonly List<AddedToken> _extra = [];

    /// <summary>Reads the declarations. A file that a folder lacks is null.</summary>
    /// <param name="tokenizer">The content of tokenizer.json.</param>
    /// <param name="config">The content of tokenizer_config.json.</param>
    /// <param name="specialTokensMap">The content of special_tokens_map.json.</param>
    /// <param name="addedTokens">The content of added_tokens.json.</param>
    /// <param name="defaults">The tokens of the tokenizer class by role, for roles that the files do not name.</param>
    public static TokenDeclarations Read(JsonSection? tokenizer, JsonSection? config, JsonSection? specialTokensMap,
        JsonSection? addedTokens, IReadOnlyDictionary<string, string> defaults)
    {
        var declarations = new TokenDeclarations();
        foreach (var (role, token) in defaults) declarations._byRole[role] = Special(token);
        if (tokenizer?.Optional("padding")?.Optional("pad_token") is { ValueKind: JsonValueKind.String } padToken
            && config?.Has("pad_token") != true)
            declarations._byRole["pad_token"] = Special(padToken.String());
        if (config is { } configSection) declarations.ReadTokens(configSection);

        if (config?.Optional("added_tokens_decoder") is { } decoder)
        {
            foreach (var (key, entry) in decoder.Fields())
            {
                if (!int.TryParse(key, out int id) || id < 0) throw decoder.CreateException($"'{key}' is not a token id");
                declarations._byId[id] = ReadObject(entry);
            }
        }
        else
        {
            // The older files count only where the config has no added_tokens_decoder.
            if (specialTokensMap is { } map) declarations.ReadTokens(map);
            if (addedTokens is { } added) declarations.ReadAddedTokens(added);
            if (tokenizer?.Optional("added_tokens") is { } list)
                foreach (var entry in list.Items())
                    if (entry.Optional("id") is { } id) declarations._byId[id.Int(0, int.MaxValue)] = ReadObject(entry);
        }
        declarations.TakeFlagsOfAddedTokens();
        return declarations;
    }

    /// <summary>The text of the token of a role, for example <c>bos_token</c>, or null.</summary>
    public string? this[string role] => _byRole.GetValueOrDefault(role)?.Content;

    /// <summary>The texts of the tokens by role, those of one model, such as <c>image_token</c>, included.</summary>
    /// <remarks>special_tokens_map in tokenization_utils_base.py, which has no tokens without a role since transformers 5</remarks>
    public IReadOnlyDictionary<string, string> ByRole =>
        _byRole.ToDictionary(entry => entry.Key, entry => entry.Value.Content, StringComparer.Ordinal);

    /// <summary>Returns the tokens to add to those of tokenizer.json, in the order in which they get their ids.</summary>
    /// <param name="present">The added tokens of tokenizer.json.</param>
    public List<AddedToken> TokensToAdd(IReadOnlyCollection<AddedToken> present)
    {
        // A token of added_tokens_decoder is added again where its flags differ from those in tokenizer.json.
        HashSet<AddedToken> identical = [.. present.Select(WithoutId)];
        List<AddedToken> result = [.. _byId.Values.Where(token => !identical.Contains(token))];
        HashSet<string> contents = [.. present.Concat(result).Select(token => token.Content)];
        foreach (string role in _roleOrder)
            if (_byRole.TryGetValue(role, out var token) && contents.Add(token.Content)) result.Add(token);
        foreach (var token in _extra)
            if (contents.Add(token.Content)) result.Add(token);

        var named = _byRole.Values.Select(token => token.Content).ToHashSet(StringComparer.Ordinal);
        return [.. result.Select(token => named.Contains(token.Content) ? token with { Special = true } : token)];
    }

    private static AddedToken WithoutId(AddedToken token) => token with { Id = AddedToken.NoId };

    private static AddedToken Special(string content) =>
        new(AddedToken.NoId, content, Special: true, SingleWord: false, LeftStrip: false, RightStrip: false, Normalized: false);

    private static AddedToken ReadObject(JsonSection section) => AddedToken.Read(section) with { Id = AddedToken.NoId };

    private static AddedToken ReadOne(JsonSection section) =>
        section.ValueKind == JsonValueKind.Object ? ReadObject(section) : Special(section.String());

    /// <summary>Reads the tokens of a role and the extra tokens of tokenizer_config.json or special_tokens_map.json.</summary>
    private void ReadTokens(JsonSection section)
    {
        foreach (string role in _roles)
        {
            if (section.Optional(role) is { } token) _byRole[role] = ReadOne(token) with { Special = true };
            else if (section.Has(role)) _byRole.Remove(role); // null: the class's default does not apply
        }
        // A role of one model, such as image_token.
        foreach (var (key, value) in section.Fields())
            if (key.EndsWith("_token", StringComparison.Ordinal) && !_roles.Contains(key)
                && value.ValueKind is JsonValueKind.String or JsonValueKind.Object)
                AddRole(key, value);
        if (section.Optional("model_specific_special_tokens") is { } specific) ReadExtra(specific);
        if ((section.Optional("extra_special_tokens") ?? section.Optional("additional_special_tokens")) is { } extra) ReadExtra(extra);
    }

    private void AddRole(string role, JsonSection value)
    {
        if (!_roleOrder.Contains(role)) _roleOrder.Add(role);
        _byRole[role] = ReadOne(value) with { Special = true };
    }

    private void ReadExtra(JsonSection section)
    {
        if (section.ValueKind == JsonValueKind.Object)
            foreach (var (role, value) in section.Fields()) AddRole(role, value);
        else
            foreach (var item in section.Items())
            {
                var token = ReadOne(item);
                if (!_extra.Contains(token)) _extra.Add(token);
            }
    }

    /// <summary>Reads <c>{"token": id, ...}</c>. A token that has a role is special.</summary>
    private void ReadAddedTokens(JsonSection section)
    {
        var special = _byRole.Values.Concat(_extra).Select(token => token.Content).ToHashSet(StringComparer.Ordinal);
        foreach (var (content, id) in section.Fields())
        {
            bool isSpecial = special.Contains(content);
            _byId[id.Int(0, int.MaxValue)] = new AddedToken(AddedToken.NoId, content, isSpecial, SingleWord: false, LeftStrip: false,
                RightStrip: false, Normalized: !isSpecial);
        }
    }

    /// <summary>A token of a role that is also an added token has the flags of the added token.</summary>
    private void TakeFlagsOfAddedTokens()
    {
        foreach (var token in _byId.Values)
            foreach (string role in _roleOrder)
                if (_byRole.TryGetValue(role, out var declared) && declared.Content == token.Content) _byRole[role] = token;
    }
}
