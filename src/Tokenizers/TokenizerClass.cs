namespace Ndif.Tokenizers;

/// <summary>What a tokenizer class of transformers brings along: tokens and settings that the files need not name.</summary>
/// <param name="Tokens">The special tokens by role, for example <c>eos_token</c>.</param>
/// <remarks>
/// transformers 5, models/*/tokenization_*.py. The classes that are not listed, <c>PreTrainedTokenizerFast</c> and
/// <c>TokenizersBackend</c> among them, take everything from tokenizer.json.
/// </remarks>
internal sealed record TokenizerClass(IReadOnlyDictionary<string, string> Tokens)
{
    private static readonly TokenizerClass _generic = new(Roles());

    private static readonly TokenizerClass _llama =
        new(Roles(("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>"))) { AddsBos = true, Kind = TokenizerKind.Llama };

    private static readonly TokenizerClass _gpt2 = new(Roles(("unk_token", "<|endoftext|>"), ("bos_token", "<|endoftext|>"),
        ("eos_token", "<|endoftext|>"))) { Kind = TokenizerKind.ByteLevel };

    private static readonly TokenizerClass _qwen2 =
        new(Roles(("unk_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")))
        { Kind = TokenizerKind.ByteLevel };

    private static readonly TokenizerClass _gptNeoX = new(Roles(("unk_token", "<|endoftext|>"), ("bos_token", "<|endoftext|>"),
        ("eos_token", "<|endoftext|>"), ("pad_token", "<|padding|>"))) { Kind = TokenizerKind.ByteLevel };

    private static readonly TokenizerClass _roberta = new(Roles(("bos_token", "<s>"), ("eos_token", "</s>"), ("sep_token", "</s>"),
        ("cls_token", "<s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"), ("mask_token", "<mask>"))) { Kind = TokenizerKind.Roberta };

    private static readonly TokenizerClass _xlmRoberta = _roberta with { Kind = TokenizerKind.SentencePiece };

    private static readonly TokenizerClass _bert = new(Roles(("unk_token", "[UNK]"), ("sep_token", "[SEP]"), ("pad_token", "[PAD]"),
        ("cls_token", "[CLS]"), ("mask_token", "[MASK]"))) { Kind = TokenizerKind.Bert };

    private static readonly TokenizerClass _gemma = new(Roles(("unk_token", "<unk>"), ("bos_token", "<bos>"), ("eos_token", "<eos>"),
        ("pad_token", "<pad>"), ("mask_token", "<mask>"))) { AddsBos = true, Kind = TokenizerKind.Gemma };

    private static readonly TokenizerClass _t5 = new(Roles(("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")))
    { Kind = TokenizerKind.SentencePiece };

    private static readonly Dictionary<string, TokenizerClass> _byName = new(StringComparer.Ordinal)
    {
        ["LlamaTokenizer"] = _llama,
        ["CodeLlamaTokenizer"] = _llama,
        ["GemmaTokenizer"] = _gemma,
        ["GPT2Tokenizer"] = _gpt2,
        ["Qwen2Tokenizer"] = _qwen2,
        ["GPTNeoXTokenizer"] = _gptNeoX,
        ["RobertaTokenizer"] = _roberta,
        ["BartTokenizer"] = _roberta,
        ["XLMRobertaTokenizer"] = _xlmRoberta,
        ["BertTokenizer"] = _bert,
        ["DistilBertTokenizer"] = _bert,
        ["ElectraTokenizer"] = _bert,
        ["T5Tokenizer"] = _t5,
    };

    public TokenizerKind Kind { get; private init; }

    /// <summary>Whether the class adds the beginning-of-sequence token where <c>add_bos_token</c> is not given.</summary>
    public bool AddsBos { get; private init; }

    /// <summary>Finds a class by its name. An unknown class takes everything from tokenizer.json.</summary>
    public static TokenizerClass Find(string? name) => _byName.GetValueOrDefault(name ?? "", _generic);

    /// <summary>The name of the class that takes everything from tokenizer.json.</summary>
    public const string GenericName = "TokenizersBackend";

    /// <summary>The name without the suffix "Fast".</summary>
    public static string? WithoutFast(string? name) => name switch
    {
        null => null,
        "PreTrainedTokenizerFast" or "PreTrainedTokenizer" => GenericName,
        _ => name.EndsWith("Fast", StringComparison.Ordinal) ? name[..^4] : name,
    };

    private static Dictionary<string, string> Roles(params (string Role, string Token)[] roles) =>
        roles.ToDictionary(entry => entry.Role, entry => entry.Token, StringComparer.Ordinal);
}
