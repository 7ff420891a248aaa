using System.Text;
using System.Text.Json;

namespace Ndif.Tokenizers.Json;

/// <summary>
/// A JSON value of a tokenizer file together with its path, so that every exception names the location in the file.
/// </summary>
internal readonly record struct JsonSection(JsonElement Value, string Path)
{
    public TokenizerFormatException CreateException(string reason) => new(Path, reason);

    /// <summary>Returns a field of this object, which must exist.</summary>
    public JsonSection Required(string name) =>
        Optional(name) ?? throw CreateException($"the field '{name}' is missing{NearestName.Hint(name, FieldNames())}");

    /// <summary>Returns a field of this object, or null if the field is absent or a JSON null.</summary>
    public JsonSection? Optional(string name)
    {
        if (Value.ValueKind != JsonValueKind.Object) throw CreateException($"an object with the field '{name}' is expected, not {Kind}");
        return Value.TryGetProperty(name, out var field) && field.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined)
            ? new JsonSection(field, ChildPath(name))
            : null;
    }

    /// <summary>True if this object has the field, even if the field is null.</summary>
    public bool Has(string name) => Value.ValueKind == JsonValueKind.Object && Value.TryGetProperty(name, out _);

    /// <summary>The fields of this object with their names.</summary>
    public IEnumerable<(string Name, JsonSection Section)> Fields()
    {
        if (Value.ValueKind != JsonValueKind.Object) throw CreateException($"an object is expected, not {Kind}");
        var section = this;
        return Value.EnumerateObject().Select(field => (field.Name, new JsonSection(field.Value, section.ChildPath(field.Name))));
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

    public IEnumerable<JsonSection> Items()
    {
        if (Value.ValueKind != JsonValueKind.Array) throw CreateException($"a list is expected, not {Kind}");
        return Walk(this);

        static IEnumerable<JsonSection> Walk(JsonSection section)
        {
            int i = 0;
            foreach (var item in section.Value.EnumerateArray()) yield return new JsonSection(item, $"{section.Path}[{i++}]");
        }
    }

    /// <summary>
    /// Returns this stage, or, if its type is <c>Sequence</c>, the stages it contains. Sequences can be nested. The number of stages is
    /// limited, so that a small file cannot cause unbounded work.
    /// </summary>
    public List<JsonSection> Stages(string field)
    {
        const int MaxStages = 64;
        var stages = new List<JsonSection>();
        Collect(this);
        return stages;

        void Collect(JsonSection section)
        {
            if (section.Optional("type") is { ValueKind: JsonValueKind.String } type && type.String() == "Sequence")
                foreach (var item in section.Required(field).Items()) Collect(item);
            else if (stages.Count < MaxStages)
                stages.Add(section);
            else
                throw section.CreateException($"more than {MaxStages} stages");
        }
    }

    /// <summary>Returns the field <c>type</c>, which must be one of the names.</summary>
    public string Type(params ReadOnlySpan<string> names)
    {
        var section = Required("type");
        string type = section.String();
        if (names.Contains(type)) return type;
        string hint = NearestName.Hint(type, names.ToArray());
        throw section.CreateException($"the type '{Truncate(type)}' is unknown{hint}; known are {string.Join(", ", names!)}");
    }

    public JsonValueKind ValueKind => Value.ValueKind;

    private string ChildPath(string name) => Path.EndsWith(' ') ? Path + name : $"{Path}.{name}";

    private string Kind => Value.ValueKind switch
    {
        JsonValueKind.Array => "a list",
        JsonValueKind.Object => "an object",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "true or false",
        _ => "null",
    };

    private string Text => Value.ValueKind == JsonValueKind.Number ? Truncate(Value.GetRawText()) : Kind;

    private IEnumerable<string> FieldNames() => Value.EnumerateObject().Take(100).Select(field => field.Name);

    private static string Truncate(string text) => text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 60), "...");
}
