using System.Text;
using System.Text.Json;

namespace Ndif.Tokenizers.Json;

/// <summary>One value of a tokenizer file and its place there, so that every complaint can say where.</summary>
internal readonly record struct JsonPart(JsonElement Value, string Path)
{
    public TokenizerFormatException CreateException(string reason) => new(Path, reason);

    public JsonPart Required(string name) =>
        Optional(name) ?? throw CreateException($"the field '{name}' is missing{NearestName.Hint(name, FieldNames())}");

    /// <summary>The field, or null where it is absent or JSON's null.</summary>
    public JsonPart? Optional(string name)
    {
        if (Value.ValueKind != JsonValueKind.Object) throw CreateException($"an object with the field '{name}' is expected, not {Kind}");
        return Value.TryGetProperty(name, out var field) && field.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined)
            ? new JsonPart(field, ChildPath(name))
            : null;
    }

    public string String()
    {
        if (Value.ValueKind != JsonValueKind.String) throw CreateException($"a string is expected, not {Kind}");
        try
        {
            return Value.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new TokenizerFormatException(Path, "the string is not valid Unicode", e);
        }
    }

    public Rune Rune()
    {
        string text = String();
        var status = System.Text.Rune.DecodeFromUtf16(text, out var rune, out int length);
        if (status != System.Buffers.OperationStatus.Done || length != text.Length)
            throw CreateException($"a single character is expected, not '{text}'");
        return rune;
    }

    public bool Bool() => Value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw CreateException($"true or false is expected, not {Kind}"),
    };

    public bool Bool(string name, bool defaultValue) => Optional(name)?.Bool() ?? defaultValue;

    public int Int(int min, int max)
    {
        if (Value.ValueKind != JsonValueKind.Number || !Value.TryGetInt32(out int number) || number < min || number > max)
            throw CreateException($"a whole number from {min} to {max} is expected, not {Text}");
        return number;
    }

    public double Double()
    {
        if (Value.ValueKind != JsonValueKind.Number || !Value.TryGetDouble(out double number) || !double.IsFinite(number))
            throw CreateException($"a number is expected, not {Text}");
        return number;
    }

    public IEnumerable<JsonPart> Items()
    {
        if (Value.ValueKind != JsonValueKind.Array) throw CreateException($"a list is expected, not {Kind}");
        return Walk(this);

        static IEnumerable<JsonPart> Walk(JsonPart part)
        {
            int i = 0;
            foreach (var item in part.Value.EnumerateArray()) yield return new JsonPart(item, $"{part.Path}[{i++}]");
        }
    }

    /// <summary>
    /// The stages that a stage consists of: itself, or those of a <c>Sequence</c>, which can be nested. Their number is limited,
    /// so that a small file cannot ask for endless work.
    /// </summary>
    public List<JsonPart> Stages(string field)
    {
        const int Most = 64;
        var stages = new List<JsonPart>();
        Collect(this);
        return stages;

        void Collect(JsonPart part)
        {
            if (part.Optional("type") is { ValueKind: JsonValueKind.String } type && type.String() == "Sequence")
                foreach (var item in part.Required(field).Items()) Collect(item);
            else if (stages.Count < Most)
                stages.Add(part);
            else
                throw part.CreateException($"more than {Most} stages");
        }
    }

    /// <summary>The field 'type', which must be one of the names.</summary>
    public string Type(params ReadOnlySpan<string> names)
    {
        var part = Required("type");
        string type = part.String();
        if (names.Contains(type)) return type;
        string hint = NearestName.Hint(type, names.ToArray());
        throw part.CreateException($"the type '{Truncate(type)}' is unknown{hint}; known are {string.Join(", ", names!)}");
    }

    public JsonValueKind ValueKind => Value.ValueKind;

    string ChildPath(string name) => Path.EndsWith(' ') ? Path + name : $"{Path}.{name}";

    string Kind => Value.ValueKind switch
    {
        JsonValueKind.Array => "a list",
        JsonValueKind.Object => "an object",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "true or false",
        _ => "null",
    };

    string Text => Value.ValueKind == JsonValueKind.Number ? Truncate(Value.GetRawText()) : Kind;

    IEnumerable<string> FieldNames() => Value.EnumerateObject().Take(100).Select(field => field.Name);

    static string Truncate(string text) => text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 60), "...");
}
