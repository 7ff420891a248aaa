using System.Collections;
using System.Text.Json;
using Google.Protobuf.Reflection;

namespace Ndif.Protocol.Programs;

/// <summary>One option of a generation: a row of <see cref="GenerationOptionTable"/>.</summary>
/// <param name="FieldNumber">The field of <see cref="Generation"/> that carries the option.</param>
/// <param name="Name">The name in Hugging Face's generation_config.json. Error messages use it too.</param>
/// <param name="Allowed">The allowed values, as an error message states them after "it must be".</param>
/// <param name="IsAllowed">Tests a value, or one item of a list. Null allows every value of the field's type.</param>
internal sealed record GenerationOption(int FieldNumber, string Name, string Allowed = "", Func<object, bool>? IsAllowed = null)
{
    private IFieldAccessor Field { get; } = Generation.Descriptor.FindFieldByNumber(FieldNumber).Accessor;

    /// <summary>The value that applies where neither the user nor the model's files set one. Null leaves the field unset.</summary>
    public object? Default { get; init; }

    /// <summary>Advice that follows the error message of a value that is not allowed.</summary>
    public string Hint { get; init; } = "";

    /// <summary>The option has an effect only where tokens are drawn, so that setting it asks for sampling.</summary>
    public bool IsSamplingOnly { get; init; }

    /// <summary>The form of the value in generation_config.json, as an error message states it after "it must be".</summary>
    public string Form { get; init; } = "";

    /// <summary>A file that sets the option to an empty list is wrong. In a request, an empty list stands for none.</summary>
    public bool RequiresItems { get; init; }

    /// <summary>The option applies to a whole trace; an invoke cannot have its own.</summary>
    public bool IsTraceWide { get; init; }

    /// <summary>The option has no place in generation_config.json.</summary>
    public bool IsRequestOnly { get; init; }

    /// <summary>The option consists of token ids, which must be in the vocabulary of the model.</summary>
    public bool IsOfVocabulary { get; init; }

    /// <summary>Whether the options set this one.</summary>
    public bool IsSet(Generation options) => Field.Descriptor.IsRepeated ? Items(options).Count > 0 : Field.HasValue(options);

    /// <summary>Removes the option.</summary>
    public void Clear(Generation options) => Field.Clear(options);

    /// <summary>Sets the default where the option is not set.</summary>
    public void SetDefault(Generation options)
    {
        if (Default is not null && !IsSet(options)) Field.SetValue(options, Default);
    }

    /// <summary>Sets the option to a value of generation_config.json.</summary>
    /// <exception cref="FormatException">
    /// The value is of another kind, or out of the field's range. The message names the option.
    /// </exception>
    public void Read(JsonElement value, Generation options)
    {
        try
        {
            if (!Field.Descriptor.IsRepeated) Field.SetValue(options, ReadValue(value));
            else if (value.ValueKind is not JsonValueKind.Array) Items(options).Add(ReadValue(value));
            else foreach (JsonElement item in value.EnumerateArray()) Items(options).Add(ReadValue(item));
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException)
        {
            string must = Form is "" ? "" : $"; it must be {Form}";
            throw new FormatException($"`{Name}` is {GenerationOptionValues.Describe(value)}{must}. {e.Message}", e);
        }
        if (RequiresItems && !GenerationOptionValues.TokenIds(Field.GetValue(options)).Any())
            throw new FormatException($"`{Name}` is {GenerationOptionValues.Describe(value)}; it must be {Form}.");
    }

    /// <exception cref="NdifException">BAD_ARGUMENT: names the option, its value and the allowed values.</exception>
    public void Validate(Generation options)
    {
        if (IsAllowed is null || !IsSet(options)) return;
        IEnumerable values = Field.Descriptor.IsRepeated ? Items(options) : new[] { Field.GetValue(options) };
        foreach (object value in values)
            if (!IsAllowed(value))
                throw CreateException(value is string text ? $"a text of {text.Length} characters" : value, Allowed, Hint);
    }

    /// <summary>Checks that the tokens of the option are in the vocabulary.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: names the option and the token.</exception>
    public void ValidateVocabulary(Generation options, uint vocabSize)
    {
        if (!IsOfVocabulary || !IsSet(options)) return;
        foreach (long id in GenerationOptionValues.TokenIds(Field.GetValue(options)))
            if (id < 0 || id >= vocabSize)
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"The generation option `{Name}` has the token id {id}, which is not in the vocabulary of {vocabSize} tokens.",
                    "Take ids from the model's tokenizer: llm.Tokenizer.Encode(text).");
    }

    /// <summary>The error for a value that is not allowed.</summary>
    public Exception CreateException(object value, string allowed, string hint = "")
    {
        string message = $"The generation option `{Name}` is {GenerationOptionValues.Describe(value)}; it must be {allowed}.";
        return Errors.CreateException(ErrorCode.BadArgument, message, hint);
    }

    private IList Items(Generation options) => (IList)Field.GetValue(options);

    private object ReadValue(JsonElement value) => Field.Descriptor.FieldType switch
    {
        FieldType.Bool => value.GetBoolean(),
        FieldType.Double => value.GetDouble(),
        FieldType.UInt32 => value.GetUInt32(),
        FieldType.Int64 => (long)value.GetInt32(), // a token id
        FieldType.String => value.GetString() ?? throw new FormatException($"{Name} contains null."),
        FieldType.Enum => ReadEarlyStopping(value),
        FieldType.Message => GenerationOptionValues.Read(Field.Descriptor.MessageType.Name, value),
        _ => throw new InvalidOperationException($"{Name} is not read from generation_config.json."),
    };

    private static EarlyStopping ReadEarlyStopping(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True => EarlyStopping.WhenFull,
        JsonValueKind.False => EarlyStopping.Heuristic,
        _ when value.GetString() == "never" => EarlyStopping.Never,
        _ => throw new FormatException("early_stopping must be true, false or \"never\"."),
    };
}
