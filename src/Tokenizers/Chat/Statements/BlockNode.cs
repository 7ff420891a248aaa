namespace Ndif.Tokenizers.Chat.Statements;

/// <summary>
/// <c>{% block name %} ... {% endblock %}</c>. Without other templates it is written where it stands. It sees the variables and the names
/// that are set at the top of the template; a scoped block sees all names around it.
/// </summary>
/// <remarks>jinja2/compiler.py, visit_Block</remarks>
internal sealed record BlockNode(string Name, bool IsScoped, TemplateBody Body) : TemplateStatement
{
    private readonly ScopeSymbols _symbols = new(null);

    public override IEnumerable<NameUse> NameUses => [];

    public override void CollectNames(ScopeSymbols symbols)
    {
    }

    public override void Bind(ScopeSymbols symbols)
    {
        if (UndeclaredNames.Find(Body, "self", "super").FirstOrDefault() is { } name)
            throw new ChatTemplateException($"line {Line}: '{name}' is not supported: a chat template cannot be extended");
        Body.CollectNames(_symbols);
        _symbols.Complete();
        Body.Bind(_symbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        RenderContext context = IsScoped ? frame.Context.Derive(frame) : frame.Context;
        return Body.Execute(new TemplateFrame(_symbols, null, context, frame.Output).Enter());
    }

    public static bool HasScopedBlock(TemplateStatement statement) => statement switch
    {
        BlockNode block => block.IsScoped || HasScopedBlock(block.Body),
        TemplateBody body => body.Statements.Any(HasScopedBlock),
        IfNode condition => condition.Cases.Any(part => HasScopedBlock(part.Then))
            || (condition.Else is { } other && HasScopedBlock(other)),
        ForNode loop => HasScopedBlock(loop.Body) || (loop.Else is { } other && HasScopedBlock(other)),
        WithNode with => HasScopedBlock(with.Body),
        SetBlockNode set => HasScopedBlock(set.Body),
        FilterBlockNode filter => HasScopedBlock(filter.Body),
        MacroNode macro => HasScopedBlock(macro.Body),
        CallBlockNode call => HasScopedBlock(call.Body),
        GenerationNode generation => HasScopedBlock(generation.Body),
        _ => false,
    };
}
