using System.Text.Json;

namespace Ndif.Tokenizers.Tests.Chat.Differential;

/// <summary>The variables of the random templates.</summary>
internal static class DifferentialVariables
{
    public const string Name = "random";

    public static JsonElement Values { get; } = JsonDocument.Parse("""
        {"n": 3, "neg": -7, "big": 12345678901234567890, "f": 2.5, "g": -0.125, "s": "Hello World", "e": "", "yes": true, "no": false, "nothing": null,
         "u": "Grüße, they're 'quoted' \"x\" <b>&amp;</b> 🎉 ß-Ǆ", "text": "line one\n  line two\n\nlast-word here ", "csv": "a,b,,c", "pad": "  xx ab  xx ",
         "items": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"], "mixed": [1, "a", null, 2.5, true, [1, 2], {"k": "v"}], "empty": [],
         "d": {"b": 1, "a": [1, "x", null, true, {"k": 2.0}], "items": 5, "Z": "z"}, "o": {"x": 1, "y": 2},
         "users": [{"name": "Bo", "age": 3, "tags": ["x", "y"], "address": {"city": "Ulm"}}, {"name": "al", "age": 5, "tags": []},
           {"name": "Cy", "age": 3, "tags": ["z"], "address": {"city": "Bonn"}}],
         "tree": [{"name": "a", "children": [{"name": "b", "children": []}, {"name": "c", "children": [{"name": "d", "children": []}]}]},
           {"name": "e", "children": []}],
         "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <there>"},
           {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2, "b": "é"}}}]},
           {"role": "tool", "content": "4"}, {"role": "user", "content": [{"type": "text", "text": "And?"}]}],
         "tools": [{"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}}]}
        """).RootElement;
}
