using System.Text;

namespace Ndif.Tokenizers.Chat.Statements;

/// <summary>A parsed template whose names are bound to their scopes. It is immutable and can be rendered by several threads.</summary>
internal sealed class TemplateProgram
{
    private readonly TemplateBody _body;
    private readonly ScopeSymbols _symbols = new(null, isTemplate: true);

    private TemplateProgram(TemplateBody body) => _body = body;

    public static TemplateProgram Bind(TemplateBody body)
    {
        if (UndeclaredNames.Find(body, "self").Count > 0)
            throw new ChatTemplateException("line 1: 'self' is not supported: a chat template cannot call its blocks");
        TemplateProgram program = new(body);
        body.CollectNames(program._symbols);
        program._symbols.Complete();
        body.Bind(program._symbols);
        return program;
    }

    public string Render(RenderContext context)
    {
        StringBuilder output = new();
        _body.Execute(new TemplateFrame(_symbols, null, context, output).Enter());
        return output.ToString();
    }
}
