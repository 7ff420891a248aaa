namespace Ndif.Models;

/// <summary>The result of a model with named entries, as Hugging Face's ModelOutput: logits, past_key_values.</summary>
public sealed record ModelOutput(params KeyValuePair<string, object?>[] Entries)
{
    public object? this[string name]
    {
        get
        {
            foreach (var (key, value) in Entries)
                if (key == name) return value;
            throw new KeyNotFoundException($"The output has no `{name}`; it has {string.Join(", ", Entries.Select(e => e.Key))}.");
        }
    }
}
